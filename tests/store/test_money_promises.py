"""What the database refuses about refunds, disputes, authorisations and earned revenue.

Every attack is tried as the application's role and as the owner; a refused one changes nothing.
"""

from collections.abc import Iterator
from functools import partial

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from billing.embedded.servers import EmbeddedPostgres
from billing.rules.refunds import _FOLLOWING, RefundState
from tests.conftest import Admin
from tests.store import attacks
from tests.store.attacks import run
from tests.store.test_core_promises import CAPTURED, CARD, CREATED, CUSTOMER, PAID_INVOICE, SCENE

PENDING = "'018f0000-0000-7000-8000-0000000000e1'"
SUCCEEDED = "'018f0000-0000-7000-8000-0000000000e2'"
NEW = "'018f0000-0000-7000-8000-0000000000e9'"
DISPUTE = "'018f0000-0000-7000-8000-0000000000f1'"
HELD = "'018f0000-0000-7000-8000-0000000000d7'"

MONEY_SCENE = f"""
UPDATE payments SET amount_refunded = 40 WHERE id = {CAPTURED};
INSERT INTO refunds (id, payment_id, amount, currency, state, recognised, deferred, tax, reason,
                     requested_by, provider_refund_id, next_attempt_at,
                     dispatch_after, created_at, finished_at)
VALUES ({PENDING}, {CAPTURED}, 30, 'USD', 'pending', 10, 20, 0, 'late', 'cli', 're_1',
        '2026-03-01', '1970-01-01', '2026-02-01', NULL),
       ({SUCCEEDED}, {CAPTURED}, 10, 'USD', 'succeeded', 10, 0, 0, 'late', 'cli', 're_2',
        NULL, '1970-01-01', '2026-02-01', '2026-02-01');
INSERT INTO disputes (id, provider_dispute_id, payment_id, provider_charge_id, amount, currency,
                      reason, stage, state, opened_at, updated_at)
VALUES ({DISPUTE}, 'dp_1', {CAPTURED}, 'ch_1', 60, 'USD', 'fraudulent', 'needs_response', 'opened',
        '2026-02-01', '2026-02-01');
INSERT INTO payments (id, customer_id, payment_method_id, amount, currency, state, capture_method,
                      authorized_until, next_attempt_at, next_attempt_kind, dispatch_after,
                      created_at, updated_at)
VALUES ({HELD}, {CUSTOMER}, {CARD}, 100, 'USD', 'AUTHORIZED', 'manual', '2026-02-08', '2026-02-08',
        'void', '1970-01-01', '2026-02-01', '2026-02-01');
INSERT INTO revenue_recognitions (invoice_id, line, through, amount)
VALUES ({PAID_INVOICE}, 1, '2026-02-01', 30);
INSERT INTO line_parts (kind, source_id, invoice_id, line, recognised, deferred, tax)
VALUES ('refund', {PENDING}, {PAID_INVOICE}, 1, 10, 20, 0)
"""
TABLES = ("payments", "refunds", "disputes", "revenue_recognitions", "line_parts", "invoices")


def parts(
    amounts: str, *, kind: str = "refund", source: str = SUCCEEDED, line: int = 1, nth: int = 1
) -> str:
    """Return the statement that takes parts (earned, unearned, tax) of a line of the invoice."""
    return (
        "INSERT INTO line_parts"
        " (kind, source_id, nth, invoice_id, line, recognised, deferred, tax)"
        f" VALUES ('{kind}', {source}, {nth}, {PAID_INVOICE}, {line}, {amounts})"
    )


assert_refused = partial(attacks.assert_refused, tables=TABLES)


@pytest.fixture(scope="module")
def scene(pg_server: EmbeddedPostgres, admin: Admin, template_db: str) -> Iterator[str]:
    """A paid invoice with a pending and a succeeded refund, a dispute, and an authorisation."""
    statements = (*SCENE.split(";"), *MONEY_SCENE.split(";"))
    with attacks.database("money_promises", pg_server, admin, template_db, *statements) as url:
        yield url


def refund(payment: str = CAPTURED, **columns: str) -> str:
    values = {
        "id": NEW,
        "payment_id": payment,
        "amount": "60",
        "currency": "'USD'",
        "state": "'requested'",
        "recognised": "60",
        "deferred": "0",
        "tax": "0",
        "reason": "'late'",
        "requested_by": "'cli'",
        "next_attempt_at": "'2026-03-01'",
        "dispatch_after": "'1970-01-01'",
        "created_at": "'2026-03-01'",
    } | columns
    return f"INSERT INTO refunds ({', '.join(values)}) VALUES ({', '.join(values.values())})"


def counted(amount: int) -> str:
    return f"UPDATE payments SET amount_refunded = {amount} WHERE id = {CAPTURED}"


def moved(refund_id: str, state: str, **columns: str) -> str:
    done = state in ("succeeded", "failed", "canceled")
    values = {
        "state": f"'{state}'",
        "finished_at": "'2026-03-02'" if done else "NULL",
        "next_attempt_at": "NULL" if done else "'2026-03-02'",
    } | columns
    sets = ", ".join(f"{name} = {value}" for name, value in values.items())
    return f"UPDATE refunds SET {sets} WHERE id = {refund_id}"


ATTACKS = {
    "a refund the payment doesn't count": ("refunds add up to 100 USD", refund()),
    "a refund counted for less": ("refunds add up to 100 USD", counted(99), refund()),
    "more refunded than captured": ("refunded_within_captured", counted(101)),
    "more refunded than captured, with its refund": (
        "refunded_within_captured",
        counted(101),
        refund(amount="61", recognised="61"),
    ),
    "a refund of what was never captured": (
        "refunds add up to 60 USD, the payment counts 0 USD",
        refund(CREATED),
    ),
    "a refund in another currency": (
        "refunds add up to 100 EUR, the payment counts 100 USD",
        counted(100),
        refund(currency="'EUR'"),
    ),
    "a refund of nothing": ("amount_check", refund(amount="0", recognised="0")),
    "a refund whose parts don't add up": ("parts_add_up", counted(100), refund(deferred="1")),
    "a refund with a negative part": (
        "check",
        counted(100),
        refund(recognised="61", tax="-1"),
    ),
    "a failed refund that still counts": (
        "refunds add up to 10 USD, the payment counts 40 USD",
        moved(PENDING, "failed"),
    ),
    "a refund's amount changed": (
        "what it gives back can't change",
        f"UPDATE refunds SET amount = 31, recognised = 11 WHERE id = {PENDING}",
    ),
    "a refund's parts moved": (
        "what it gives back can't change",
        f"UPDATE refunds SET recognised = 11, deferred = 19 WHERE id = {PENDING}",
    ),
    "a refund moved to another payment": (
        "what it gives back can't change",
        f"UPDATE refunds SET payment_id = {CREATED} WHERE id = {PENDING}",
    ),
    "a refund of another customer": (
        "whose row it is can't change",
        f"UPDATE refunds SET customer_id = gen_random_uuid() WHERE id = {PENDING}",
    ),
    "a refund of another engine": (
        "the engine that made a row can't change",
        f"UPDATE refunds SET engine_id = gen_random_uuid() WHERE id = {PENDING}",
    ),
    "a customer of another engine": (
        "the engine that made a row can't change",
        f"UPDATE customers SET engine_id = NULL WHERE id = {CUSTOMER}",
    ),
    "a dispute of another customer": (
        "whose row it is can't change",
        f"UPDATE disputes SET customer_id = gen_random_uuid() WHERE id = {DISPUTE}",
    ),
    "a transition in another month": (
        "append-only|permission",
        "UPDATE payment_transitions SET month = '2020-01-01'",
    ),
    "two refunds with one id at the provider": (
        "provider_refund_id",
        counted(100),
        refund(provider_refund_id="'re_1'"),
    ),
    "a refund taken back to requested": (
        "pending -> requested is no legal transition",
        moved(PENDING, "requested"),
    ),
    "a succeeded refund that is canceled": (
        "succeeded -> canceled is no legal transition",
        moved(SUCCEEDED, "canceled"),
    ),
    "an open refund with nothing to come": (
        "open_have_a_next",
        f"UPDATE refunds SET next_attempt_at = NULL WHERE id = {PENDING}",
    ),
    "a refund finished without an instant": (
        "finished_with_instant",
        moved(PENDING, "succeeded", finished_at="NULL"),
    ),
    "a refund deleted": (
        "can't be deleted|permission",
        f"DELETE FROM refunds WHERE id = {PENDING}",
    ),
    "all refunds gone": ("append-only|permission", "TRUNCATE refunds CASCADE"),
    "a second row for a dispute": (
        "provider_dispute_id",
        "INSERT INTO disputes (id, provider, provider_dispute_id, provider_charge_id, amount,"
        " currency, reason, stage, state, opened_at, updated_at)"
        " VALUES (gen_random_uuid(), 'stripe', 'dp_1',"
        " 'ch_1', 60, 'USD', 'x', 'needs_response', 'opened', now(), now())",
    ),
    "a loss of a dispute that isn't lost": (
        "lost_parts_when_lost",
        f"UPDATE disputes SET lost_recognised = 60 WHERE id = {DISPUTE}",
    ),
    "a dispute closed without an instant": (
        "closed_with_instant",
        f"UPDATE disputes SET state = 'won' WHERE id = {DISPUTE}",
    ),
    "a negative loss": (
        "lost_deferred",
        f"UPDATE disputes SET state = 'lost', closed_at = now(), lost_deferred = -1"
        f" WHERE id = {DISPUTE}",
    ),
    "all disputes gone": ("append-only|permission", "TRUNCATE disputes CASCADE"),
    "earned twice up to one instant": (
        "revenue_recognitions_pkey",
        f"INSERT INTO revenue_recognitions (invoice_id, line, through, amount)"
        f" VALUES ({PAID_INVOICE}, 1, '2026-02-01', 70)",
    ),
    "nothing earned": (
        "amount_check",
        f"INSERT INTO revenue_recognitions (invoice_id, line, through, amount)"
        f" VALUES ({PAID_INVOICE}, 1, '2026-03-01', 0)",
    ),
    "earned of a line that isn't there": (
        "revenue_recognitions_of_line",
        f"INSERT INTO revenue_recognitions (invoice_id, line, through, amount)"
        f" VALUES ({PAID_INVOICE}, 9, '2026-03-01', 1)",
    ),
    "more given back of a line than was earned": ("more is given back", parts("21, 0, 0")),
    "more given back of a line than is left to be earned": (
        "more is given back",
        parts("0, 51, 0"),
    ),
    "more tax given back of a line than it bears": ("more is given back", parts("0, 0, 1")),
    "nothing given back of a line": ("line_parts_take_something", parts("0, 0, 0")),
    "less than nothing given back of a line": ("deferred_check", parts("5, -1, 0")),
    "a part of a line that isn't there": ("line_parts_of_line", parts("1, 0, 0", line=9)),
    "a part of a refund that isn't there": (
        "line_parts_of_refund",
        parts("1, 0, 0", source=DISPUTE),
    ),
    "a part of a dispute that isn't there": (
        "line_parts_of_dispute",
        parts("1, 0, 0", kind="dispute"),
    ),
    "a part of a credit note that isn't there": (
        "line_parts_of_note",
        parts("1, 0, 0", kind="credit_note"),
    ),
    "a write-off of another invoice": (
        "line_parts_of_write_off",
        parts("1, 0, 0", kind="write_off"),
    ),
    "a refund's part twice": ("line_parts_pkey", parts("1, 0, 0", source=PENDING)),
    "a refund that fails twice": ("line_parts_once", parts("1, 0, 0", nth=2)),
    "what was given back of a line changed": (
        "append-only|can't be changed|permission",
        "UPDATE line_parts SET deferred = 1",
    ),
    "what was given back of a line deleted": (
        "append-only|can't be changed|permission",
        "DELETE FROM line_parts",
    ),
    "what was earned changed": (
        "append-only|can't be changed|permission",
        "UPDATE revenue_recognitions SET amount = 100",
    ),
    "what was earned deleted": (
        "append-only|can't be changed|permission",
        "DELETE FROM revenue_recognitions",
    ),
    "more to be captured than was authorised": (
        "capture_within_amount",
        f"UPDATE payments SET capture_amount = 101 WHERE id = {HELD}",
    ),
    "an authorisation without an end": (
        "authorized_with_end",
        f"UPDATE payments SET authorized_until = NULL WHERE id = {HELD}",
    ),
    "a payment captured by hand made automatic": (
        "what it collects can't change",
        f"UPDATE payments SET capture_method = 'automatic' WHERE id = {HELD}",
    ),
    "a payment of nobody's choice": (
        "billed_or_one_off",
        f"UPDATE payments SET payment_method_id = NULL WHERE id = {HELD}",
    ),
    "a next step nobody knows": (
        "next_attempt_kind",
        f"UPDATE payments SET next_attempt_kind = 'think' WHERE id = {HELD}",
    ),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_refused(attacker: Engine, name: str) -> None:
    says, *statements = ATTACKS[name]

    assert_refused(attacker, says, *statements)


@pytest.mark.parametrize(
    "name",
    [
        "a refund the payment doesn't count",
        "a failed refund that still counts",
        "a refund's amount changed",
        "a succeeded refund that is canceled",
        "what was earned changed",
    ],
)
def test_replica_mode_does_not_let_an_attack_pass(owner: Engine, name: str) -> None:
    says, *statements = ATTACKS[name]

    assert_refused(owner, says, "SET LOCAL session_replication_role = replica", *statements)


@pytest.mark.parametrize("before", RefundState)
@pytest.mark.parametrize("after", RefundState)
def test_a_refund_moves_only_as_its_rules_say(
    app: Engine, before: RefundState, after: RefundState
) -> None:
    """The database's table of transitions is the program's."""
    done = before in ("succeeded", "failed", "canceled")
    there = refund(
        state=f"'{before}'",
        finished_at="'2026-03-01'" if done else "NULL",
        next_attempt_at="NULL" if done else "'2026-03-01'",
    )
    with app.connect() as conn:  # rolled back: the sums are checked at commit only
        run(conn, there)
        if before is after or after in _FOLLOWING[before]:
            run(conn, moved(NEW, after))
            return
        with pytest.raises(DBAPIError, match=f"{before} -> {after} is no legal transition"):
            run(conn, moved(NEW, after))


def test_what_adds_up_is_taken(app: Engine) -> None:
    with app.connect() as conn:
        run(
            conn,
            counted(100),
            refund(),
            moved(PENDING, "failed"),
            counted(70),
            moved(SUCCEEDED, "failed"),
            counted(60),
            "SET CONSTRAINTS ALL IMMEDIATE",
        )
