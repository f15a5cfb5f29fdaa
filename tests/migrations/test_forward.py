"""A database that the release before filled: it migrates, proves, and goes on billing.

What is in it, and how it was made, stands in `release_0003/README.md`.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from psycopg import sql
from sqlalchemy import text

from billing.flows import prove
from billing.flows.settlement import tie_out
from billing.sandbox import SandboxServer
from billing.store.access import events
from billing.store.payments import disputes, refunds
from billing.store.schema import expected_revision, migrate
from billing.store.settlement import runs as settlement
from billing.store.subscriptions import customers, subscriptions
from billing.workers.daemons.webhooks import Webhooks
from tests.api.caller import open_shop
from tests.conftest import Admin
from tests.scenarios import money
from tests.scenarios.world import Subscriber, World

ROOT = Path(__file__).resolve().parents[2]

# A table of 0003 that a later migration gave another name: where its rows are now, and which of
# the rows there, as SQL.
MOVED: Final[Mapping[str, tuple[str, str]]] = {}

Rows = list[tuple[Any, ...]]


def query(url: str, statement: str) -> Rows:
    with psycopg.connect(url) as conn:
        return conn.execute(statement.encode()).fetchall()


def tables(url: str) -> set[str]:
    found = query(
        url,
        "SELECT schemaname || '.' || tablename FROM pg_tables"
        " WHERE schemaname IN ('public', 'ledger')",
    )
    return {name for (name,) in found} - {"public.alembic_version"}


def count(url: str, table: str, only: str = "true") -> int:
    ((found,),) = query(url, f"SELECT count(*) FROM {table} WHERE {only}")
    return int(found)


@pytest.fixture
def migrated_url(released_url: str) -> str:
    """The release's database, brought to the newest revision."""
    migrate(released_url)
    return released_url


@pytest.fixture
def world(migrated_url: str, released_provider: SandboxServer, tmp_path: Path) -> Iterator[World]:
    """The migrated database and its provider, at the instant at which both were left."""
    world = World(migrated_url, released_provider.url, tmp_path / "catalog", continued=True)
    yield world
    world.close()


# --- what a migration has to leave alone --------------------------------------------------------


def test_the_released_migrations_still_make_the_schema_that_was_released(
    released_url: str, pg_server: Any, admin: Admin
) -> None:
    name = "made_by_0003"
    admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    made_url = pg_server.url(name)
    config = Config()
    config.set_main_option("script_location", str(ROOT / "migrations"))
    config.set_main_option(
        "sqlalchemy.url", made_url.replace("postgresql://", "postgresql+psycopg://")
    )
    command.upgrade(config, "0003")

    for statement in CATALOGUE:
        assert query(made_url, statement) == query(released_url, statement)

    admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


CATALOGUE: Final = (
    """
    SELECT table_schema, table_name, column_name, data_type, is_nullable, column_default,
           is_identity, is_generated
      FROM information_schema.columns WHERE table_schema IN ('public', 'ledger') ORDER BY 1, 2, 3
    """,
    """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
      FROM pg_constraint WHERE connamespace::regnamespace::text IN ('public', 'ledger')
     ORDER BY 1, 2
    """,
    "SELECT indexdef FROM pg_indexes WHERE schemaname IN ('public', 'ledger') ORDER BY 1",
    """
    SELECT tgrelid::regclass::text, tgname, tgenabled, pg_get_triggerdef(oid)
      FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1, 2
    """,
    """
    SELECT oid::regprocedure::text, prosrc, prosecdef
      FROM pg_proc WHERE pronamespace::regnamespace::text IN ('public', 'ledger') ORDER BY 1
    """,
    """
    SELECT table_schema, table_name, privilege_type FROM information_schema.role_table_grants
     WHERE grantee = 'billing_app' ORDER BY 1, 2, 3
    """,
)


def test_no_row_is_lost(released_url: str) -> None:
    before = {table: count(released_url, table) for table in sorted(tables(released_url))}
    assert [table for table, rows in before.items() if not rows] == [], "the fixture has them all"

    migrate(released_url)

    ((revision,),) = query(released_url, "SELECT version_num FROM alembic_version")
    assert revision == expected_revision()
    places = {table: MOVED.get(table, (table, "true")) for table in before}
    after = {table: count(released_url, *place) for table, place in places.items()}
    assert after == before


def test_a_backup_of_before_is_the_same_engine_however_often_it_is_migrated(
    released_url: str, released: str, pg_server: Any, admin: Admin
) -> None:
    again = f"{released}_again"
    copy = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
    admin.execute(copy.format(sql.Identifier(again), sql.Identifier(released)))

    for url in (released_url, pg_server.url(again)):
        migrate(url)

    assert query(released_url, "SELECT id FROM engine") == query(
        pg_server.url(again), "SELECT id FROM engine"
    )
    admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(again)))


def test_the_journal_and_the_digests_of_closed_cycles_are_untouched(released_url: str) -> None:
    before = [query(released_url, statement) for statement in IMMUTABLE]
    assert [len(rows) for rows in before] == [243, 516, 55]

    migrate(released_url)

    assert [query(released_url, statement) for statement in IMMUTABLE] == before


IMMUTABLE: Final = (
    """
    SELECT id, kind, source_key, payload_hash, effective_at, posted_at, cycle_id,
           reverses_entry_id FROM ledger.entries ORDER BY id
    """,
    """
    SELECT p.entry_id, p.line, a.code, a.owner_id, p.amount, p.currency
      FROM ledger.postings p JOIN ledger.accounts a ON a.id = p.account_id ORDER BY 1, 2
    """,
    "SELECT id, digest, closed_at FROM cycles WHERE state = 'closed' ORDER BY id",
)


def test_the_promises_hold_after_the_migration_as_they_did_before_it(world: World) -> None:
    results = {result.promise: result for result in prove.prove(world.engine, world.now)}

    assert [result.findings for result in results.values()] == [()] * len(prove.TITLES)
    for promise, figures in CHECKED.items():
        assert figures.items() <= results[promise].checked.items()
    world.assert_books_balance()


# What the release's own proof looked at when the database was left.
CHECKED: Final[Mapping[int, Mapping[str, int]]] = {
    1: {"subscriptions": 36, "subscriptions_parked": 1, "cycles": 64},
    2: {"payments": 69, "payments_captured": 54, "transitions": 174, "attempts": 77},
    3: {"entries": 243, "postings": 516, "invoices": 58, "currencies": 5},
    4: {"cycles_closed": 55, "cycles_open": 9, "breaks_open": 1, "breaks_resolved": 3},
    5: {
        "payments_undecided": 12,
        "payments_parked": 1,
        "subscriptions_parked": 1,
        "attempts_open": 4,
        "attempts_unknown": 3,
    },
}


# --- going on -----------------------------------------------------------------------------------


def subscriber(world: World, external_id: str) -> Subscriber:
    """Return a customer of the release, whose subscription has the same external id."""
    with world.engine.connect() as conn:
        customer = customers.find(conn, external_id)
        subscription = subscriptions.find(conn, external_id)
    assert customer is not None
    assert customer.provider_customer_id is not None
    assert subscription is not None
    return Subscriber(customer.id, customer.provider_customer_id, subscription.id)


def one_off_of(world: World, external_id: str) -> UUID:
    """Return the only payment of a customer who subscribes to nothing."""
    with world.engine.connect() as conn:
        found: UUID = conn.execute(
            text(
                "SELECT p.id FROM payments p JOIN customers c ON c.id = p.customer_id"
                " WHERE c.external_id = :name"
            ),
            {"name": external_id},
        ).scalar_one()
    return found


def listen(world: World) -> None:
    """Read the provider's events that we lack, and handle all that nobody handled yet."""
    webhooks = Webhooks(world.runtime, world.metrics)
    webhooks.sweep()
    for _ in range(20):
        webhooks.handle_due()
        with world.engine.connect() as conn:
            if not events.page(conn, unhandled=True, limit=1):
                return
        world.wait(world.policy.unknown_backoff_max)
    raise AssertionError("events stay unhandled")


def test_what_was_unknown_is_resolved_without_a_second_charge(world: World) -> None:
    lost, never, died = (
        subscriber(world, name) for name in ("answer-lost", "never-arrived", "died-before-the-call")
    )
    assert [world.psp.captures(each) for each in (lost, never, died)] == [1, 0, 0]
    keys = [world.attempts(each)[-1].idempotency_key for each in (lost, never, died)]

    assert world.settle()

    for each, key in zip((lost, never, died), keys, strict=True):
        (attempt,) = world.attempts(each)
        assert (attempt.idempotency_key, attempt.outcome) == (key, "succeeded")
        assert world.payment(each).state == "CAPTURED"
        assert world.psp.captures(each) == 1
    captured, voided, asked = (
        money.payment_row(world, one_off_of(world, name))
        for name in ("capture-unknown", "void-unknown", "capture-not-sent")
    )
    assert (captured.state, captured.amount_captured) == ("CAPTURED", 3000)
    assert voided.state == "FAILED"
    assert (asked.state, asked.amount_captured) == ("CAPTURED", 4400)
    assert world.psp.captured_twice() == 0
    world.assert_promises_hold()


def test_refunds_under_way_go_back_once(world: World) -> None:
    with world.engine.connect() as conn:
        under_way = conn.execute(
            text("SELECT id, payment_id, amount FROM refunds WHERE state = 'requested'")
        ).all()
    assert len(under_way) == 3, "one whose answer was lost, one that never arrived, one not sent"

    assert world.settle()

    for refund in under_way:
        assert money.refund_state(world, refund.id) == "succeeded"
        assert [each["amount"] for each in money.at_provider(world, refund.payment_id)] == [
            refund.amount
        ]
    world.assert_promises_hold()


def test_a_key_of_the_release_brings_the_same_payment_again(world: World) -> None:
    (waiting,) = (one_off_of(world, "api-unknown"),)
    with open_shop(world) as shop:
        caller = shop.caller(name="checkout")
        open_one = caller.post(
            "/v1/payments",
            {"amount": 1234, "currency": "USD", "customer": "api-unknown"},
            key="api-unknown-1",
        )
        answered = caller.post(
            "/v1/payments",
            {
                "amount": 2500, "currency": "USD", "customer": "shop-ann",
                "description": "A set of strings",
            },
            key="order-005",
        )  # fmt: skip
        other = caller.post(
            "/v1/payments",
            {"amount": 2600, "currency": "USD", "customer": "shop-ann"},
            key="order-005",
        )

    assert (open_one.status_code, open_one.json()["id"]) == (201, str(waiting))
    assert open_one.json()["state"] == "CAPTURED"
    assert (answered.status_code, answered.json()["amount_refunded"]) == (201, 0)
    assert other.status_code == 422
    assert world.psp.captured_twice() == 0


def test_a_settlement_that_stopped_in_the_middle_is_finished(world: World) -> None:
    with world.engine.connect() as conn:
        (stopped,) = settlement.running(conn, "stripe")

    world.close_books()

    with world.engine.connect() as conn:
        assert settlement.get_run(conn, stopped.id).state == "succeeded"
        assert {step.state for step in settlement.steps(conn, stopped.id)} == {"succeeded"}


def test_billing_goes_on_for_two_months(world: World) -> None:
    paid = subscriber(world, "answer-lost")
    ladder = subscriber(world, "declined-once")
    old = world.payments(subscriber(world, "demo-00001"))[-1]
    assert old.state in ("CAPTURED", "SETTLED")
    closed_before = closed(world)
    with world.engine.connect() as conn:
        (pending,) = refunds.page(conn, state="pending", limit=10)
        (disputed,) = disputes.page(conn, state="opened", limit=10)
        held = conn.execute(text("SELECT id FROM payments WHERE description = 'Held'")).scalar_one()
    money.decide(world, disputed.provider_dispute_id, "lost")

    for day in ("2026-03-02", "2026-03-31", "2026-04-15", "2026-05-01"):
        world.run_until(day)
        listen(world)
        world.close_books()
    refund_id = money.give_back(world, old.id)
    assert world.settle()
    world.close_books()

    assert world.starts(paid) == ["2026-03-01", "2026-04-01", "2026-05-01"]
    assert [row.state for row in world.payments(paid)] == ["SETTLED"] * 3
    assert world.psp.captures(paid) == 3
    assert world.sent_on(ladder, 0) == ["2026-03-01", "2026-03-04"]
    assert world.psp.captures(ladder) == 3
    assert money.refund_state(world, refund_id) == "succeeded"
    assert money.refund_state(world, pending.id) == "succeeded"
    assert dispute_state(world, disputed.id) == "lost"
    assert money.payment_row(world, held).state == "FAILED", "its authorisation expired"
    assert world.kinds(subscriber(world, "demo-00010"))[-1] == "paused"
    assert world.subscription(subscriber(world, "below-the-minimum")).parked_at is not None
    assert closed(world) > closed_before
    assert world.psp.captured_twice() == 0
    world.assert_promises_hold()
    assert unexplained(world) == {}


def dispute_state(world: World, dispute_id: UUID) -> str:
    with world.engine.connect() as conn:
        row = disputes.get(conn, dispute_id)
    assert row is not None
    return str(row.state)


def closed(world: World) -> int:
    with world.engine.connect() as conn:
        return int(
            conn.execute(text("SELECT count(*) FROM cycles WHERE state = 'closed'")).scalar_one()
        )


def unexplained(world: World) -> dict[str, int]:
    """Return what of the provider's balances the books and open breaks don't explain."""
    with world.engine.connect() as conn:
        lines = tie_out.compare_balances(conn, "stripe", world.gateway.balance())
    return {line.currency: line.unexplained for line in lines if line.unexplained}
