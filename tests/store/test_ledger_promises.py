"""The ledger attacked with plain SQL, as the application's role and as the owner of the tables."""

import re
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime

import psycopg
import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from billing.ids import new_id
from billing.ledger.recipes import payment_captured
from billing.rules.money import Money
from billing.store.engine import APP_ROLE, driver_connection, make_engine
from billing.store.journal import posting as journal
from billing.store.journal import reads
from tests.waiting import PATIENCE, until

AT = datetime(2026, 3, 1, tzinfo=UTC)
OLD = "payment_captured:old:1"
BACK = "reversal:old"
CYCLE = uuid.UUID("018f0000-0000-7000-8000-0000000000c1")

# Attacks name accounts by code and currency, entries by source key: ids are the database's.
BOOKS = """
INSERT INTO ledger.accounts (code, currency, class)
VALUES ('bank', 'USD', 'A'), ('revenue', 'USD', 'R'), ('bank', 'EUR', 'A'), ('revenue', 'EUR', 'R')
"""

CLOSED_CYCLE = """
INSERT INTO plans (code, product, name, applied_at) VALUES ('p', 'p', 'p', :at);
INSERT INTO plan_versions (plan, effective, terms, digest, published_at)
VALUES ('p', '2026-01-01', '{}', repeat('0', 64), :at);
INSERT INTO customers (id, provider, name, created_at) VALUES (:id, 'stripe', 'Ann', :at);
INSERT INTO provider_customers (id, customer_id, provider, created_at)
VALUES (:id, :id, 'stripe', :at);
INSERT INTO subscriptions (id, customer_id, plan, plan_version, currency, quantity,
                           invoice_prefix, status, anchor_local, zone, every, renews_at, created_at)
VALUES (:id, :id, 'p', '2026-01-01', 'USD', 1, 'P', 'active', '2026-01-01', 'UTC', '1 month',
        :at, :at);
INSERT INTO cycles (id, subscription_id, n, kind, period_start, period_end, plan, plan_version,
                    opened_at)
VALUES (:id, :id, 0, 'regular', '2026-01-01', '2026-02-01', 'p', '2026-01-01', :at)
"""
CLOSE = f"""
UPDATE cycles SET state = 'closed', closed_at = '2026-03-01', digest = repeat('0', 64)
 WHERE id = '{CYCLE}'
"""


def account(name: str) -> str:
    code, currency = name.split()
    return f"(SELECT id FROM ledger.accounts WHERE code = '{code}' AND currency = '{currency}')"


def postings(entry: str, *lines: tuple[int, str, int], currency: str | None = None) -> str:
    """Insert lines (number, account, amount); `entry` is SQL for the entry's id."""
    rows = ", ".join(
        f"({entry}, {line}, {account(name)}, {amount}, '{currency or name.split()[1]}')"
        for line, name, amount in lines
    )
    return (
        f"INSERT INTO ledger.postings (entry_id, line, account_id, amount, currency) VALUES {rows}"
    )


def entry(source_key: str = "attack:1", *, cycle: str = "NULL", reverses: str = "NULL") -> str:
    return (
        "INSERT INTO ledger.entries"
        " (kind, source_key, payload_hash, effective_at, cycle_id, reverses_entry_id)"
        f" VALUES ('attack', '{source_key}', sha256('x'), now(), {cycle}, {reverses})"
    )


def the(source_key: str = "attack:1") -> str:
    return f"(SELECT id FROM ledger.entries WHERE source_key = '{source_key}')"


PAIR = ((1, "bank USD", 5), (2, "revenue USD", -5))


@pytest.fixture
def owner(db_url: str) -> Iterator[Engine]:
    engine = make_engine(db_url, role=None)
    yield engine
    engine.dispose()


@pytest.fixture
def books(owner: Engine) -> Engine:
    """Two entries, the second the reversal of the first, and a closed cycle."""
    with owner.begin() as conn:
        conn.execute(text(BOOKS))
        for statement in CLOSED_CYCLE.split(";"):
            conn.execute(text(statement), {"id": CYCLE, "at": AT})
        conn.execute(text(CLOSE))
        for key, reverses in ((OLD, "NULL"), (BACK, the(OLD))):
            run(conn, entry(key, reverses=reverses))
            run(conn, postings(the(key), *PAIR))
    return owner


@pytest.fixture(params=[APP_ROLE, None], ids=["as the application", "as the owner"])
def attacker(request: pytest.FixtureRequest, books: Engine, db_url: str) -> Iterator[Engine]:
    engine = make_engine(db_url, role=request.param)
    yield engine
    engine.dispose()


def run(conn: Connection, *statements: str) -> None:
    for statement in statements:
        conn.exec_driver_sql(statement)


def snapshot(engine: Engine) -> list[object]:
    """Everything in the ledger."""
    with engine.connect() as conn:
        return [
            conn.exec_driver_sql(f"SELECT * FROM ledger.{table} ORDER BY 1, 2").all()
            for table in ("accounts", "entries", "postings")
        ]


def assert_refused(engine: Engine, statements: tuple[str, ...], says: str) -> None:
    before = snapshot(engine)
    with pytest.raises(DBAPIError) as refused, engine.begin() as conn:
        run(conn, *statements)
    assert re.search(says, str(refused.value.orig)), str(refused.value.orig)
    assert snapshot(engine) == before


FORGERIES: dict[str, tuple[tuple[str, ...], str]] = {
    "an unbalanced entry": (
        (entry(), postings(the(), (1, "bank USD", 5), (2, "revenue USD", -4))),
        r"entry \d+ is unbalanced: its USD postings add up to 1",
    ),
    "a one-sided entry": (
        (entry(), postings(the(), (1, "bank USD", 5))),
        "its USD postings add up to 5",
    ),
    "an entry that balances across currencies only": (
        (entry(), postings(the(), (1, "bank USD", 5), (2, "revenue EUR", -5))),
        r"its (USD|EUR) postings add up to -?5",
    ),
    "a balanced entry in two statements": (
        (entry(), postings(the(), PAIR[0]), postings(the(), PAIR[1])),
        "its USD postings add up to 5",
    ),
    "amounts that overflow to zero": (
        (
            entry(),
            postings(the(), *((n, "bank USD", 2**62) for n in range(1, 5))),
        ),
        f"its USD postings add up to {2**64}",
    ),
    "an unbalanced entry next to a balanced one": (
        (
            entry(),
            entry("attack:2"),
            postings(the(), *PAIR) + f", ({the('attack:2')}, 1, {account('bank USD')}, 7, 'USD')",
        ),
        "its USD postings add up to 7",
    ),
    "an entry without postings": ((entry(),), "entries_have_postings"),
    "lines from 2 on": (
        (entry(), postings(the(), (2, "bank USD", 5), (3, "revenue USD", -5))),
        r"its 2 posting\(s\) are numbered from 2 to 3, not 1 to 2",
    ),
    "lines with a gap": (
        (entry(), postings(the(), (1, "bank USD", 5), (3, "revenue USD", -5))),
        "numbered from 1 to 3, not 1 to 2",
    ),
    "lines from 0 on": (
        (entry(), postings(the(), (0, "bank USD", 5), (1, "revenue USD", -5))),
        "numbered from 0 to 1, not 1 to 2",
    ),
    "a line twice": (
        (entry(), postings(the(), (1, "bank USD", 5), (1, "revenue USD", -5))),
        "postings_pkey",
    ),
    "an old entry, extended by one line": (
        (postings(the(OLD), (3, "bank USD", 5)),),
        "numbered from 3 to 3, not 1 to 1",
    ),
    "an old entry, extended by a balanced pair": (
        (postings(the(OLD), (3, "bank USD", 5), (4, "revenue USD", -5)),),
        "numbered from 3 to 4, not 1 to 2",
    ),
    "an old entry, extended by a pair numbered like a new one": (
        (postings(the(OLD), *PAIR),),
        "postings_pkey",
    ),
    "an old entry, extended past the lines it has": (
        (
            postings(the(OLD), *PAIR, (3, "bank USD", 5), (4, "revenue USD", -5))
            + " ON CONFLICT DO NOTHING",
        ),
        "numbered from 3 to 4, not 1 to 2",
    ),
    "an old entry, extended in the shadow of a new one": (
        (
            entry(),
            "WITH shadow AS ("
            + postings(the(), *PAIR)
            + ") "
            + postings(the(OLD), (3, "bank USD", 5), (4, "revenue USD", -5)),
        ),
        "numbered from 3 to 4, not 1 to 2",
    ),
    "postings of no entry": ((postings("999999", *PAIR),), "postings_entry"),
    "a posting of zero": (
        (entry(), postings(the(), *PAIR, (3, "bank USD", 0))),
        "postings_amount_not_zero",
    ),
    "a posting in another currency than its account's": (
        (entry(), postings(the(), *PAIR, currency="EUR")),
        "postings_account_currency",
    ),
    "a second reversal": (
        (entry(reverses=the(OLD)), postings(the(), *PAIR)),
        "entries_reversed_once",
    ),
    "a second entry for one event": (
        (entry(OLD), postings(the(OLD), *PAIR)),
        "entries_source_key",
    ),
    "an entry for a closed cycle": (
        (entry(cycle=f"'{CYCLE}'"), postings(the(), *PAIR)),
        f"entry attack:1 is refused: cycle {CYCLE} is closed",
    ),
    "an entry for a cycle that isn't there": (
        (entry(cycle="gen_random_uuid()"), postings(the(), *PAIR)),
        "entries_cycle",
    ),
    "an account twice": (
        ("INSERT INTO ledger.accounts (code, currency, class) VALUES ('bank', 'USD', 'A')",),
        "accounts_one_each",
    ),
    "an account of no class": (
        ("INSERT INTO ledger.accounts (code, currency, class) VALUES ('bank', 'JPY', 'Z')",),
        "accounts_class_check",
    ),
}

CHANGES = {
    "an amount edited": f"UPDATE ledger.postings SET amount = 6 WHERE entry_id = {the(OLD)}",
    "nothing edited": "UPDATE ledger.postings SET amount = amount WHERE false",
    "an entry edited": "UPDATE ledger.entries SET effective_at = now()",
    "an account edited": "UPDATE ledger.accounts SET class = 'X'",
    "an edit in disguise": (
        postings(the(OLD), *PAIR) + " ON CONFLICT (entry_id, line) DO UPDATE SET amount = 6"
    ),
    "a merge": (
        "MERGE INTO ledger.postings p USING (VALUES (1)) v(line) ON p.line = v.line"
        " WHEN MATCHED THEN UPDATE SET amount = 6"
    ),
    "postings deleted": "DELETE FROM ledger.postings",
    "entries deleted": "DELETE FROM ledger.entries",
    "accounts deleted": "DELETE FROM ledger.accounts",
    "postings truncated": "TRUNCATE ledger.postings CASCADE",
    "entries truncated": "TRUNCATE ledger.entries CASCADE",
    "accounts truncated": "TRUNCATE ledger.accounts CASCADE",
    "all truncated": "TRUNCATE ledger.accounts, ledger.entries, ledger.postings",
}


@pytest.mark.parametrize(("statements", "says"), FORGERIES.values(), ids=FORGERIES.keys())
def test_a_forgery_is_refused(attacker: Engine, statements: tuple[str, ...], says: str) -> None:
    assert_refused(attacker, statements, says)


@pytest.mark.parametrize("statement", CHANGES.values(), ids=CHANGES.keys())
def test_a_change_is_refused(attacker: Engine, statement: str) -> None:
    assert_refused(
        attacker, (statement,), r"permission denied|ledger\.(accounts|entries|postings) is append"
    )


@pytest.mark.parametrize("statement", CHANGES.values(), ids=CHANGES.keys())
def test_replica_mode_does_not_open_the_books(books: Engine, statement: str) -> None:
    assert_refused(
        books,
        ("SET LOCAL session_replication_role = replica", statement),
        r"ledger\.(accounts|entries|postings) is append-only: (UPDATE|DELETE|TRUNCATE) refused",
    )


@pytest.mark.parametrize(
    "forgery",
    [
        "an unbalanced entry",
        "an entry that balances across currencies only",
        "lines with a gap",
        "an old entry, extended by a balanced pair",
        "a posting of zero",
        "an entry for a closed cycle",
    ],
)
def test_replica_mode_does_not_let_a_forgery_in(books: Engine, forgery: str) -> None:
    statements, says = FORGERIES[forgery]
    assert_refused(books, ("SET LOCAL session_replication_role = replica", *statements), says)


@pytest.mark.parametrize(
    "statement",
    [
        "SET session_replication_role = replica",
        "ALTER TABLE ledger.postings DISABLE TRIGGER ALL",
        "DROP TRIGGER check_postings ON ledger.postings",
        "DROP TABLE ledger.postings CASCADE",
        "CREATE OR REPLACE FUNCTION ledger.check_postings() RETURNS trigger"
        " LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "CREATE TABLE ledger.shadow ()",
        # The database gives out ids and the time of posting.
        entry()
        .replace("(kind,", "(id, kind,")
        .replace("VALUES ('attack',", "OVERRIDING SYSTEM VALUE VALUES (77, 'attack',"),
        entry().replace("(kind,", "(posted_at, kind,").replace("('attack',", "(now(), 'attack',"),
    ],
)
def test_the_application_cannot_touch_the_guards(
    engine: Engine, books: Engine, statement: str
) -> None:
    assert_refused(engine, (statement,), "permission denied|must be owner")


def test_a_search_path_of_the_attacker_does_not_lead_the_guards_astray(books: Engine) -> None:
    statements, says = FORGERIES["an unbalanced entry"]
    decoys = (
        "CREATE SCHEMA decoy",
        "CREATE FUNCTION decoy.same(numeric, integer) RETURNS boolean"
        " LANGUAGE sql AS 'SELECT false'",
        "CREATE OPERATOR decoy.<> (LEFTARG = numeric, RIGHTARG = integer, FUNCTION = decoy.same)",
        "SET LOCAL search_path = decoy, public",
    )
    assert_refused(books, (*decoys, *statements), says)


def copy_one_side(engine: Engine) -> None:
    with engine.begin() as conn:
        run(conn, entry())
        entry_id, account_id = conn.exec_driver_sql(f"SELECT {the()}, {account('bank USD')}").one()
        into = "COPY ledger.postings (entry_id, line, account_id, amount, currency) FROM STDIN"
        with driver_connection(conn).cursor() as cursor, cursor.copy(into) as copy:
            copy.write_row((entry_id, 1, account_id, 5, "USD"))


def test_copy_is_checked_like_an_insert(attacker: Engine, books: Engine) -> None:
    before = snapshot(books)

    with pytest.raises(psycopg.errors.CheckViolation, match="USD postings add up to 5"):
        copy_one_side(attacker)

    assert snapshot(books) == before


def test_an_honest_entry_is_taken_from_both(attacker: Engine) -> None:
    with attacker.begin() as conn:
        run(conn, entry(), postings(the(), *PAIR))
    with attacker.connect() as conn:
        lines = conn.exec_driver_sql(f"SELECT * FROM ledger.postings WHERE entry_id = {the()}")
        assert len(lines.all()) == 2


# --- posting against closing ---------------------------------------------------------------


@pytest.fixture
def open_cycle(owner: Engine) -> Engine:
    """One cycle, still open, and a charge for it waiting to be posted."""
    with owner.begin() as conn:
        for statement in CLOSED_CYCLE.split(";"):
            conn.execute(text(statement), {"id": CYCLE, "at": AT})
    return owner


def post_capture(conn: Connection) -> None:
    capture = payment_captured(
        payment_id=new_id(),
        provider="stripe",
        capture=1,
        customer_id=CYCLE,
        cycle_id=CYCLE,
        amount=Money(999, "USD"),
        effective_at=AT,
    )
    journal.post(conn, [capture])


def post_and_commit(engine: Engine) -> None:
    with engine.begin() as conn:
        post_capture(conn)


def somebody_waits(engine: Engine) -> bool:
    with engine.connect() as conn:
        waiting = (
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return bool(conn.exec_driver_sql(waiting).scalar_one())


CLOSERS = {
    "FOR UPDATE first": (f"SELECT state FROM cycles WHERE id = '{CYCLE}' FOR UPDATE", CLOSE),
    "a plain UPDATE": (CLOSE,),
}


@pytest.mark.parametrize("closing", CLOSERS.values(), ids=CLOSERS.keys())
def test_an_entry_that_meets_a_closing_cycle_waits_and_is_refused(
    engine: Engine, open_cycle: Engine, closing: tuple[str, ...]
) -> None:
    with ThreadPoolExecutor(1) as pool:
        with open_cycle.begin() as closer:
            run(closer, *closing)
            posting: Future[None] = pool.submit(post_and_commit, engine)
            until(lambda: somebody_waits(open_cycle))
        with pytest.raises(journal.CycleAlreadyClosed, match=str(CYCLE)):
            posting.result(timeout=PATIENCE)


def test_a_close_that_is_rolled_back_lets_the_waiting_entry_in(
    engine: Engine, open_cycle: Engine
) -> None:
    with ThreadPoolExecutor(1) as pool:
        with open_cycle.connect() as closer:
            run(closer, CLOSE)
            posting: Future[None] = pool.submit(post_and_commit, engine)
            until(lambda: somebody_waits(open_cycle))
            closer.rollback()
        posting.result(timeout=PATIENCE)

    with engine.connect() as conn:
        assert len(reads.entries_of(conn, [CYCLE])) == 1


@pytest.mark.parametrize("closing", CLOSERS.values(), ids=CLOSERS.keys())
def test_a_closer_waits_for_the_entry_and_then_sees_it(
    engine: Engine, open_cycle: Engine, closing: tuple[str, ...]
) -> None:
    def close() -> int:
        with open_cycle.begin() as closer:
            run(closer, *closing)
            return len(reads.entries_of(closer, [CYCLE]))

    with ThreadPoolExecutor(1) as pool:
        with engine.begin() as conn:
            post_capture(conn)
            seen: Future[int] = pool.submit(close)
            until(lambda: somebody_waits(open_cycle))
        assert seen.result(timeout=PATIENCE) == 1


def test_two_posters_of_one_cycle_do_not_wait_for_each_other(
    engine: Engine, open_cycle: Engine
) -> None:
    post_and_commit(engine)  # the accounts are there
    with engine.begin() as first, engine.begin() as second:
        post_capture(first)
        post_capture(second)

    with engine.connect() as conn:
        assert len(reads.entries_of(conn, [CYCLE])) == 3
