import random
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, text

from billing.ids import new_id
from billing.ledger import recipes
from billing.ledger.accounts import CHART, Account, AccountCode
from billing.ledger.findings import LedgerFinding, Severity
from billing.ledger.journal import Entry, Posting
from billing.presenters.ledger_findings import subject, what
from billing.rules.money import Money
from billing.store.engine import make_engine
from billing.store.journal import checks, posting, reads
from billing.store.journal.posting import AlreadyReversed, EntryConflict, UnknownEntry
from tests.waiting import PATIENCE, until

AT = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
LATER = AT + timedelta(days=40)
ANN = uuid.UUID("018f0000-0000-7000-8000-00000000000a")
BOB = uuid.UUID("018f0000-0000-7000-8000-00000000000b")
I1, I2, P1, P2, C1, C2 = (uuid.UUID(int=n) for n in range(1, 7))

CUSTOMER = """
INSERT INTO plans (code, product, name, applied_at) VALUES ('p', 'p', 'p', :at);
INSERT INTO plan_versions (plan, effective, terms, digest, published_at)
VALUES ('p', '2026-01-01', '{}', repeat('0', 64), :at);
INSERT INTO customers (id, provider, name, created_at) VALUES (:ann, 'stripe', 'Ann', :at);
INSERT INTO provider_customers (id, customer_id, provider, created_at)
VALUES (:ann, :ann, 'stripe', :at)
"""
CYCLE = """
INSERT INTO subscriptions (id, customer_id, plan, plan_version, currency, quantity,
                           invoice_prefix, status, anchor_local, zone, every, renews_at, created_at)
VALUES (:id, :ann, 'p', '2026-01-01', 'USD', 1, :number, 'active', '2026-01-01', 'UTC', '1 month',
        :at, :at);
INSERT INTO cycles (id, subscription_id, n, kind, period_start, period_end, plan, plan_version,
                    opened_at)
VALUES (:id, :id, 0, 'regular', '2026-01-01', '2026-02-01', 'p', '2026-01-01', :at);
INSERT INTO invoices (id, cycle_id, subscription_id, customer_id, number, currency, net, tax,
                      total, status, issued_at)
VALUES (:invoice, :id, :id, :ann, :number, 'USD', 999, 190, 1189, 'open', :at)
"""


def usd(amount: int) -> Money:
    return Money(amount, "USD")


def issued(invoice: uuid.UUID = I1, *, customer: uuid.UUID = ANN, net: int = 999) -> Entry:
    return recipes.invoice_issued(
        invoice_id=invoice,
        customer_id=customer,
        cycle_id={I1: C1, I2: C2}[invoice],
        net=usd(net),
        tax=usd(190),
        effective_at=AT,
    )


def captured(
    payment: uuid.UUID = P1,
    *,
    customer: uuid.UUID = ANN,
    cycle: uuid.UUID | None = C1,
    amount: Money | None = None,
) -> Entry:
    return recipes.payment_captured(
        payment_id=payment,
        provider="stripe",
        capture=1,
        customer_id=customer,
        cycle_id=cycle,
        amount=usd(1189) if amount is None else amount,
        effective_at=AT,
    )


def written_off() -> Entry:
    return recipes.write_off(
        invoice_id=I1,
        customer_id=ANN,
        cycle_id=C1,
        recognised=usd(0),
        deferred=usd(999),
        tax=usd(190),
        effective_at=AT,
    )


@pytest.fixture
def cycles(engine: Engine, db_url: str) -> Engine:
    """Two open cycles of Ann's with an open invoice of 11.89 USD each; nothing posted."""
    rows = [
        {"id": C1, "invoice": I1, "number": "A-1", "ann": ANN, "at": AT},
        {"id": C2, "invoice": I2, "number": "A-2", "ann": ANN, "at": AT},
    ]
    with engine.begin() as conn:
        for statement in CUSTOMER.split(";"):
            conn.execute(text(statement), {"ann": ANN, "at": AT})
        for row in rows:
            for statement in CYCLE.split(";"):
                conn.execute(text(statement), row)
    return engine


@pytest.fixture
def owner(db_url: str) -> Iterator[Engine]:
    engine = make_engine(db_url, role=None)
    yield engine
    engine.dispose()


def post(engine: Engine, *entries: Entry) -> list[posting.PostedEntry]:
    with engine.begin() as conn:
        return posting.post(conn, entries)


def count(engine: Engine, table: str) -> int:
    with engine.connect() as conn:
        return int(conn.exec_driver_sql(f"SELECT count(*) FROM ledger.{table}").scalar_one())


def set_status(conn: Connection, invoice: uuid.UUID, status: str) -> None:
    conn.execute(
        text("UPDATE invoices SET status = :status, resolved_at = :at WHERE id = :id"),
        {"id": invoice, "status": status, "at": AT},
    )


def errors(engine: Engine) -> list[LedgerFinding]:
    with engine.connect() as conn:
        return [f for f in checks.verify(conn) if f.severity is Severity.ERROR]


def until_somebody_waits(engine: Engine) -> None:
    """`engine` is the owner's: the application doesn't see what other sessions wait for."""
    waiting = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )

    def somebody_waits() -> bool:
        with engine.connect() as conn:
            return bool(conn.exec_driver_sql(waiting).scalar_one())

    until(somebody_waits)


# --- posting -------------------------------------------------------------------------------


def test_what_was_posted_is_read_back_as_it_was(cycles: Engine) -> None:
    entries = [issued(), captured(), issued(I2, net=1)]

    posted = post(cycles, *entries)

    with cycles.connect() as conn:
        read = reads.entries_of(conn, [C1, C2])
        assert [stored.entry for stored in read] == entries
        assert [stored.id for stored in read] == [at.id for at in posted]
        assert [stored.payload_hash for stored in read] == [e.payload_hash() for e in entries]
        found = reads.entry_by_source_key(conn, captured().source_key)
        assert found is not None
        assert found.entry == captured()
        assert reads.entry_by_source_key(conn, "payment_captured:nobody:1") is None


def test_no_entries_are_posted_in_no_statement(engine: Engine) -> None:
    assert post(engine) == []


def test_a_retry_returns_the_entry_that_is_there(cycles: Engine) -> None:
    [first] = post(cycles, issued())

    again, new = post(cycles, issued(), captured())

    assert again == replace(first, created=False)
    assert new.created
    assert count(cycles, "entries") == 2
    assert count(cycles, "postings") == 5


def test_another_payload_under_the_same_key_is_refused(cycles: Engine) -> None:
    post(cycles, issued())

    with pytest.raises(EntryConflict, match=f"invoice_issued:{I1}"):
        post(cycles, captured(), issued(net=998))

    assert count(cycles, "entries") == 1
    assert errors_about_entries(cycles) == []


def errors_about_entries(engine: Engine) -> list[LedgerFinding]:
    return [f for f in errors(engine) if f.check != "cycle_receivable"]


def test_a_batch_may_name_one_event_twice(cycles: Engine) -> None:
    first, second = post(cycles, captured(), captured())

    assert (first.created, second.created) == (True, False)
    assert first.id == second.id


def test_a_batch_may_not_say_two_things_of_one_event(cycles: Engine) -> None:
    with pytest.raises(EntryConflict):
        post(cycles, captured(), captured(amount=usd(1)))

    assert count(cycles, "entries") == 0


def test_accounts_of_a_rolled_back_transaction_are_made_again(cycles: Engine) -> None:
    with cycles.connect() as conn:
        posting.post(conn, [captured()])
        conn.rollback()

    post(cycles, captured())

    assert count(cycles, "accounts") == 2
    assert count(cycles, "postings") == 2


def test_accounts_are_kept_per_customer_and_currency(cycles: Engine) -> None:
    post(
        cycles,
        captured(P1),
        captured(P2, customer=BOB, amount=Money(500, "JPY")),
        captured(new_id(), customer=BOB),
    )

    with cycles.connect() as conn:
        rows = conn.exec_driver_sql(
            "SELECT code, currency, owner_id, provider, class FROM ledger.accounts ORDER BY 1, 2, 3"
        ).all()
    assert [tuple(row) for row in rows] == [
        ("psp_clearing", "JPY", None, "stripe", "A"),
        ("psp_clearing", "USD", None, "stripe", "A"),
        ("receivable", "JPY", BOB, None, "A"),
        ("receivable", "USD", ANN, None, "A"),
        ("receivable", "USD", BOB, None, "A"),
    ]


def test_a_batch_takes_the_same_few_statements_whatever_its_size(cycles: Engine) -> None:
    statements = statements_of(cycles, [captured(new_id(), cycle=None) for _ in range(300)])
    again = statements_of(cycles, [captured(new_id(), cycle=None) for _ in range(300)])

    assert (len(statements), len(again)) == (5, 3)


def statements_of(engine: Engine, entries: list[Entry]) -> list[str]:
    seen: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        post(engine, *entries)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    return seen


# --- reversals -----------------------------------------------------------------------------


def test_a_reversal_may_come_in_the_same_batch_as_what_it_reverses(cycles: Engine) -> None:
    voided = recipes.invoice_voided(issued(), effective_at=LATER)

    reversal, original = post(cycles, voided, issued())

    assert original.id < reversal.id
    with cycles.connect() as conn:
        assert [s.entry for s in reads.entries_of(conn, [C1])] == [issued(), voided]
        assert reads.cycle_receivables(conn, [C1]) == {C1: (usd(0),)}


def test_what_is_not_in_the_journal_cannot_be_reversed(cycles: Engine) -> None:
    with pytest.raises(UnknownEntry, match="invoice_issued"):
        post(cycles, recipes.invoice_voided(issued(), effective_at=LATER))


def test_an_entry_is_reversed_once(cycles: Engine) -> None:
    voided = recipes.invoice_voided(issued(), effective_at=LATER)
    post(cycles, issued(), voided)
    another = recipes.reversal(issued(), source_key="reversal:again", effective_at=LATER)

    assert [at.created for at in post(cycles, voided)] == [False]
    with pytest.raises(AlreadyReversed, match="reverses_entry_id"):
        post(cycles, another)


def test_a_late_payment_takes_the_write_off_back(cycles: Engine) -> None:
    post(cycles, issued(), written_off())

    post(cycles, recipes.write_off_reversed(written_off(), effective_at=LATER), captured())

    with cycles.begin() as conn:
        assert reads.cycle_receivables(conn, [C1]) == {C1: (usd(0),)}
        assert reads.balance(conn, AccountCode.BAD_DEBT, "USD") == usd(0)
        assert reads.balance(conn, AccountCode.DEFERRED_REVENUE, "USD") == usd(-999)


# --- several at once -----------------------------------------------------------------------


def test_a_retry_waits_for_the_first_try_and_returns_its_entry(
    cycles: Engine, owner: Engine
) -> None:
    with ThreadPoolExecutor(1) as pool:
        with cycles.begin() as conn:
            [first] = posting.post(conn, [captured()])
            retry = pool.submit(post, cycles, captured())
            until_somebody_waits(owner)
        [second] = retry.result(timeout=PATIENCE)

    assert second == replace(first, created=False)
    assert count(cycles, "entries") == 1


def test_a_retry_takes_over_when_the_first_try_is_rolled_back(
    cycles: Engine, owner: Engine
) -> None:
    with ThreadPoolExecutor(1) as pool:
        with cycles.connect() as conn:
            posting.post(conn, [captured()])
            retry = pool.submit(post, cycles, captured())
            until_somebody_waits(owner)
            conn.rollback()
        [second] = retry.result(timeout=PATIENCE)

    assert second.created
    assert count(cycles, "postings") == 2


def test_overlapping_batches_in_any_order_neither_deadlock_nor_post_twice(cycles: Engine) -> None:
    customers = [new_id() for _ in range(40)]
    payments = [new_id() for _ in customers]
    batch = [
        captured(payment, customer=customer, cycle=cycle)
        for payment, customer, cycle in zip(
            payments, customers, [C1, C2, None, C1] * 10, strict=True
        )
    ]
    start = threading.Barrier(4)

    def worker(seed: int) -> int:
        shuffled = random.Random(seed)
        created = 0
        start.wait()
        for _ in range(8):
            mine = shuffled.sample(batch, k=25)
            created += sum(at.created for at in post(cycles, *mine))
        return created

    with ThreadPoolExecutor(4) as pool:
        created = sum(pool.map(worker, range(4)))

    assert created == count(cycles, "entries")
    assert count(cycles, "postings") == 2 * created
    assert errors_about_entries(cycles) == []


# --- reading -------------------------------------------------------------------------------


def test_the_trial_balance_shows_turnover_and_adds_up_to_zero(cycles: Engine) -> None:
    post(cycles, issued(), issued(I2), captured(), captured(P2, amount=Money(7, "JPY")))

    with cycles.connect() as conn:
        rows = reads.trial_balance(conn)

    assert [(r.code, r.currency, r.debit, r.credit, r.balance) for r in rows] == [
        ("deferred_revenue", "USD", 0, 1998, -1998),
        ("psp_clearing", "JPY", 7, 0, 7),
        ("psp_clearing", "USD", 1189, 0, 1189),
        ("receivable", "JPY", 0, 7, -7),
        ("receivable", "USD", 2378, 1189, 1189),
        ("tax_payable", "USD", 0, 380, -380),
    ]
    assert sum(row.balance for row in rows if row.currency == "USD") == 0


def test_a_balance_is_one_customers_or_everybodys(cycles: Engine) -> None:
    post(cycles, issued(), issued(I2, customer=BOB), captured(amount=usd(1000)))

    with cycles.connect() as conn:
        assert reads.balance(conn, AccountCode.RECEIVABLE, "USD", ANN) == usd(189)
        assert reads.balance(conn, AccountCode.RECEIVABLE, "USD", BOB) == usd(1189)
        assert reads.balance(conn, AccountCode.RECEIVABLE, "USD") == usd(1378)
        assert reads.balance(conn, AccountCode.RECEIVABLE, "EUR") == Money(0, "EUR")
        assert reads.balance(conn, AccountCode.BANK, "USD") == usd(0)


def test_a_statement_is_read_page_by_page_without_gap_or_repetition(cycles: Engine) -> None:
    amounts = list(range(1, 8))
    twice = Entry(
        "correction",
        "correction:1",
        AT,
        (
            Posting(Account(AccountCode.RECEIVABLE, ANN), usd(100)),
            Posting(Account(AccountCode.RECEIVABLE, ANN), usd(200)),
            Posting(Account(AccountCode.ADJUSTMENTS), usd(-300)),
        ),
    )
    for amount in amounts:
        post(cycles, captured(new_id(), amount=usd(amount)))
    post(cycles, twice, captured(P2, customer=BOB), captured(new_id(), amount=Money(5, "JPY")))

    seen: list[int] = []
    before: tuple[int, int] | None = None
    with cycles.connect() as conn:
        while page := reads.account_statement(
            conn, AccountCode.RECEIVABLE, "USD", ANN, limit=2, before=before
        ):
            seen += [line.money.amount for line in page]
            before = page[-1].cursor
        everybody = reads.account_statement(conn, AccountCode.RECEIVABLE)

    assert seen == [200, 100, *(-amount for amount in reversed(amounts))]
    assert len(everybody) == len(seen) + 2
    assert {line.account.owner_id for line in everybody} == {ANN, BOB}


def test_every_cycle_asked_for_has_a_receivable_even_if_nothing_was_posted(cycles: Engine) -> None:
    post(cycles, issued(), captured(amount=usd(1000)), captured(P2, amount=Money(5, "JPY")))

    with cycles.connect() as conn:
        assert reads.cycle_receivables(conn, [C1, C2]) == {
            C1: (Money(-5, "JPY"), usd(189)),
            C2: (),
        }
        assert reads.cycle_receivables(conn, []) == {}


# --- verify --------------------------------------------------------------------------------


def test_honest_books_have_no_errors_and_tell_what_is_on_its_way(cycles: Engine) -> None:
    post(cycles, issued(), issued(I2), captured())
    with cycles.begin() as conn:
        set_status(conn, I1, "paid")

    with cycles.connect() as conn:
        [finding] = checks.verify(conn)

    assert finding.check == "clearing"
    assert finding.severity is Severity.INFORMATION
    assert subject(finding) == "psp_clearing in USD"
    assert what(finding) == (
        "holds 11.89 USD: 1 x payment_captured 11.89 USD."
        " Captured and not yet settled and paid out by the provider."
    )


def test_an_empty_ledger_has_nothing_to_find(engine: Engine) -> None:
    with engine.connect() as conn:
        assert checks.verify(conn) == []


@pytest.mark.parametrize(
    ("status", "entries", "says"),
    [
        ("open", [], "receivable is 0.00 USD, but invoice A-1 is open with 11.89 USD open"),
        ("open", [issued(), captured()], "receivable is 0.00 USD, but invoice A-1 is open"),
        ("paid", [issued()], "receivable is 11.89 USD, but invoice A-1 is paid with 0.00 USD open"),
        ("void", [issued()], "invoice A-1 is void"),
        ("uncollectible", [issued(), written_off(), captured()], "receivable is -11.89 USD"),
        (
            "open",
            [issued(), captured(amount=Money(5, "JPY"))],
            "receivable is -5 JPY, but it has no invoice in that currency",
        ),
    ],
)
def test_a_receivable_that_is_not_the_invoices_open_amount_is_found(
    cycles: Engine, status: str, entries: list[Entry], says: str
) -> None:
    post(cycles, issued(I2), *entries)
    if status != "open":
        with cycles.begin() as conn:
            set_status(conn, I1, status)

    [finding] = errors(cycles)

    assert finding.check == "cycle_receivable"
    assert subject(finding) == f"cycle {C1}"
    assert says in what(finding)


TAMPERING: dict[str, tuple[str, set[str]]] = {
    "an amount changed": (
        "UPDATE ledger.postings SET amount = 1 WHERE line = 2 AND entry_id = {entry}",
        {"global_sum", "entry_sum", "payload_hash", "cycle_receivable"},
    ),
    "both sides changed": (
        "UPDATE ledger.postings SET amount = amount * 2 WHERE entry_id = {entry}",
        {"payload_hash", "cycle_receivable"},
    ),
    "the date changed": (
        "UPDATE ledger.entries SET effective_at = effective_at + interval '1 day'"
        " WHERE id = {entry}",
        {"payload_hash"},
    ),
    "the cycle changed": (
        f"UPDATE ledger.entries SET cycle_id = '{C2}' WHERE id = {{entry}}",
        {"payload_hash", "cycle_receivable"},
    ),
    "the postings deleted": (
        "DELETE FROM ledger.postings WHERE entry_id = {entry}",
        {"empty_entry", "cycle_receivable"},
    ),
    "a line deleted": (
        "DELETE FROM ledger.postings WHERE line = 1 AND entry_id = {entry}",
        {"lines", "global_sum", "entry_sum", "payload_hash"},
    ),
    "the entry deleted": (
        "DELETE FROM ledger.entries WHERE id = {entry}",
        {"stray_posting", "cycle_receivable"},
    ),
    "a currency changed": (
        "UPDATE ledger.postings SET currency = 'EUR' WHERE entry_id = {entry}",
        {"stray_posting", "payload_hash", "cycle_receivable"},
    ),
    "an account's class changed": (
        "UPDATE ledger.accounts SET class = 'X' WHERE code = 'bank' OR code = 'psp_clearing'",
        {"chart"},
    ),
    "an account nobody knows": (
        "INSERT INTO ledger.accounts (code, currency, class) VALUES ('petty_cash', 'USD', 'A')",
        {"chart"},
    ),
}


@pytest.mark.parametrize(("statement", "checks"), TAMPERING.values(), ids=TAMPERING.keys())
def test_tampering_by_somebody_who_took_the_guards_off_is_found(
    cycles: Engine, owner: Engine, statement: str, checks: set[str]
) -> None:
    honest, victim = post(cycles, issued(I2), captured())
    with cycles.begin() as conn:
        posting.post(conn, [issued()])
        set_status(conn, I1, "paid")
    assert errors(cycles) == []

    with owner.begin() as conn:
        for table in ("accounts", "entries", "postings"):
            conn.exec_driver_sql(f"ALTER TABLE ledger.{table} DISABLE TRIGGER ALL")
        conn.exec_driver_sql(statement.format(entry=victim.id))

    findings = errors(cycles)
    assert {finding.check for finding in findings} == checks
    assert not any(f"entry {honest.id} " in subject(finding) for finding in findings)


def test_a_reversal_that_does_not_mirror_its_original_is_found(cycles: Engine) -> None:
    crooked = replace(captured(P2), reverses=captured().source_key)
    post(cycles, captured(cycle=None), replace(crooked, cycle_id=None))

    found = [f for f in errors(cycles) if f.check == "reversal"]

    assert [what(f) for f in found] == [f"is no exact reversal of {captured().source_key}"]


def test_many_findings_are_counted_and_twenty_are_shown(cycles: Engine, owner: Engine) -> None:
    post(cycles, *(captured(new_id(), cycle=None) for _ in range(23)))
    with owner.begin() as conn:
        conn.exec_driver_sql("ALTER TABLE ledger.entries DISABLE TRIGGER ALL")
        conn.exec_driver_sql("UPDATE ledger.entries SET kind = 'forged'")

    found = [f for f in errors(cycles) if f.check == "payload_hash"]

    assert len(found) == 21
    assert what(found[-1]) == "and 3 more"


def test_the_database_computes_the_same_payload_hash_for_any_entry(cycles: Engine) -> None:
    dice = random.Random(20260301)

    def some_entry(n: int) -> Entry:
        legs: list[Posting] = []
        for _ in range(dice.randint(1, 4)):
            money = Money(dice.randint(1, 10 ** dice.randint(1, 15)), dice.choice(["USD", "JPY"]))
            legs += [Posting(some_account(), money), Posting(some_account(), -money)]
        return Entry(
            dice.choice(["a", "kind_of_2"]),
            f"random:{n}/+.-_:{dice.random()}",
            datetime(dice.randint(1970, 2199), 3, 1, tzinfo=UTC)
            + timedelta(microseconds=dice.choice([0, 1, 999_999, dice.randint(0, 10**13)])),
            tuple(legs),
            cycle_id=dice.choice([None, C1]),
        )

    def some_account() -> Account:
        code = dice.choice(list(CHART))
        return Account(
            code,
            dice.choice([ANN, BOB]) if CHART[code].owned else None,
            "stripe" if CHART[code].per_provider else None,
        )

    entries = [some_entry(n) for n in range(300)]
    taken_back = [
        recipes.reversal(e, source_key=f"reversal:{n}", effective_at=LATER, after_close=n % 2 == 0)
        for n, e in enumerate(entries[:50])
    ]
    post(cycles, *entries, *taken_back)

    assert errors_about_entries(cycles) == []
