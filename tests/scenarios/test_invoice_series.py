"""Invoices that are numbered in one series: no gap and no double, whatever happens."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Connection, text

from billing.flows.cycles import opening
from billing.flows.prove import examine
from billing.flows.subscriptions import changing
from billing.flows.subscriptions.changed_terms import ChangeOrder
from billing.ids import new_id
from billing.presenters.findings import in_words
from billing.rules.item_changes import Applies, ChangeAsked
from billing.rules.promises import Finding
from billing.store.engine import make_engine
from billing.store.payments import invoice_numbers, payments
from tests.scenarios.backups import Backups, recover
from tests.scenarios.test_credit_notes import OPERATOR, noted, part
from tests.scenarios.test_facts import TEAM
from tests.scenarios.test_locks import until_somebody_waits
from tests.scenarios.world import Killed, World, die


def numbers(world: World) -> list[str]:
    with world.engine.connect() as conn:
        return list(conn.execute(text("SELECT number FROM invoices ORDER BY number")).scalars())


def upto(count: int, prefix: str = "INV") -> list[str]:
    return [f"{prefix}-{n:04d}" for n in range(1, count + 1)]


def test_invoices_of_all_subscriptions_have_numbers_of_one_series(world: World) -> None:
    world.number_in_series("INV")
    ada, bob = world.subscribed("video-premium"), world.subscribed("video-premium")

    world.run_until("2026-03-02")

    assert numbers(world) == upto(6)
    assert len({each.number for who in (ada, bob) for each in world.invoices(who)}) == 6
    world.assert_everything_adds_up()


def test_an_invoice_of_a_change_and_credit_notes_have_the_next_numbers(world: World) -> None:
    world.number_in_series("DE-27")
    world.publish(TEAM)
    ada, bob = world.subscribed("team", items={"seats": 6}), world.subscribed("team")
    world.settle()
    world.run_until("2026-01-04")

    changing.change(
        world.engine,
        ada.reference,
        ChangeOrder(applies=Applies.NOW, items={"seats": 12}),
        change_id=new_id(),
        now=world.now,
        asked=ChangeAsked(world.now, OPERATOR, "asked"),
        policy=world.policy,
    )
    world.settle()
    notes = [noted(world, who, part(100), n=0).number for who in (ada, bob)]

    assert numbers(world) == upto(3, "DE-27")
    assert notes == ["DE-27-C0001", "DE-27-C0002"]
    world.assert_everything_adds_up()


def test_invoices_of_before_keep_their_numbers(world: World) -> None:
    ada = world.subscribed("video-premium")
    world.settle()
    own = world.invoices(ada)[0].number
    world.number_in_series("INV")

    world.run_until("2026-02-02")

    assert [each.number for each in world.invoices(ada)] == [own, "INV-0001"]
    world.assert_everything_adds_up()


def test_two_schedulers_at_once_leave_no_gap_and_give_none_twice(world: World) -> None:
    world.number_in_series("INV")
    for _ in range(12):
        world.subscribed("video-premium")

    def open_some() -> int:
        opened = 0
        while seen := opening.open_due_cycles(
            world.engine, now=world.now, limit=2, policy=world.policy
        ).seen:
            opened += seen
        return opened

    with ThreadPoolExecutor(3) as threads:
        running = [threads.submit(open_some) for _ in range(3)]
        opened = [each.result(timeout=120) for each in running]

    assert sum(opened) == 12
    assert numbers(world) == upto(12)
    world.settle()
    world.assert_everything_adds_up()


def test_who_waits_for_a_series_goes_on_from_what_is_there_in_the_end(world: World) -> None:
    """The first transaction is rolled back, as it is when its process is killed."""
    world.number_in_series("INV")
    world.subscribed("video-premium")
    with ThreadPoolExecutor(1) as threads, world.engine.connect() as conn:
        conn.begin()
        taken = invoice_numbers.take(conn, "INV", 3)
        waiter = threads.submit(world.open)
        until_somebody_waits(world)
        conn.rollback()
        waiter.result(timeout=120)

    assert list(taken) == [1, 2, 3]
    assert numbers(world) == upto(1)


def test_a_transaction_that_dies_gives_no_number(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.number_in_series("INV")
    world.subscribed("video-premium")
    world.settle()
    world.subscribed("video-premium")
    with monkeypatch.context() as patched:
        patched.setattr(payments, "add", die)
        with pytest.raises(Killed):
            world.open()

    world.settle()

    assert numbers(world) == upto(2)
    world.assert_everything_adds_up()


def test_a_subscription_that_the_database_refuses_costs_no_number(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.number_in_series("INV")
    ada, bob, cem = (world.subscribed("video-premium") for _ in range(3))
    add = payments.add

    def refused(conn: Connection, rows: Sequence[Any]) -> None:
        add(conn, rows)
        if any(row["subscription_id"] == bob.subscription_id for row in rows):
            conn.execute(text("SELECT 1 / 0"))

    monkeypatch.setattr(payments, "add", refused)
    world.open()

    assert numbers(world) == upto(2)
    assert [len(world.invoices(who)) for who in (ada, bob, cem)] == [1, 0, 1]
    world.assert_promises_hold()


def test_a_number_that_is_taken_has_to_be_given(world: World) -> None:
    world.number_in_series("INV")
    world.subscribed("video-premium")
    world.open()

    with pytest.raises(Exception, match="invoice_series_given"), world.engine.begin() as conn:
        invoice_numbers.take(conn, "INV", 1)

    world.subscribed("video-premium")
    world.open()
    assert numbers(world) == upto(2)


def test_after_a_restore_the_series_goes_on_where_the_backup_was(
    world: World, backups: Backups
) -> None:
    world.number_in_series("INV")
    people = [world.subscribed("video-premium") for _ in range(3)]
    world.run_until("2026-01-20")
    restore = backups.take(world)
    world.run_until("2026-02-02")
    assert numbers(world) == upto(6)

    found = restore()
    found.number_in_series("INV")
    recover(found)
    found.run_until("2026-03-02")

    assert numbers(found) == upto(9)
    assert [len(found.invoices(who)) for who in people] == [3, 3, 3]
    found.assert_everything_adds_up()


# --- what the proof says where the guards were off ----------------------------------------------

LAST = "n = (SELECT max(n) FROM invoice_numbers)"
SPOILT = {
    "a gap": ("DELETE FROM invoice_numbers WHERE n = 1", {"series_broken", "number_of_invoice"}),
    "the last number is gone": (
        f"DELETE FROM invoice_numbers WHERE {LAST}", {"series_broken", "number_of_invoice"},
    ),
    "a number is counted and not given": (
        "UPDATE invoice_series SET last = last + 1", {"series_broken"},
    ),
    "a number is given and not counted": (
        "UPDATE invoice_series SET last = last - 1", {"series_broken"},
    ),
    "the counter is gone": ("DELETE FROM invoice_series", {"series_broken"}),
    "a number without an invoice": (
        "INSERT INTO invoice_numbers (series, n) VALUES ('INV', 3);"
        " UPDATE invoice_series SET last = 3",
        {"number_of_invoice"},
    ),
    "an invoice with a number beside the series": (
        "UPDATE invoices SET number = 'INV-0007' WHERE number = 'INV-0002'",
        {"number_of_invoice"},
    ),
}  # fmt: skip


@pytest.fixture
def owner(world: World, db_url: str) -> Iterator[Connection]:
    """The owner of a database with two invoices in a series, with the guards off."""
    world.number_in_series("INV")
    for _ in range(2):
        world.subscribed("video-premium")
    world.settle()
    engine = make_engine(db_url, role=None)
    with engine.connect() as conn:
        for table in ("invoice_numbers", "invoice_series", "invoices"):
            conn.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER ALL"))
        yield conn
        conn.rollback()
    engine.dispose()


@pytest.mark.parametrize("how", SPOILT)
def test_the_proof_names_what_is_wrong_with_a_series(
    world: World, owner: Connection, how: str
) -> None:
    statements, kinds = SPOILT[how]
    assert found(owner, world) == set()

    for statement in statements.split(";"):
        owner.execute(text(statement))

    assert kinds <= found(owner, world)


def found(conn: Connection, world: World) -> set[str]:
    findings = [each for result in examine(conn, world.now) for each in result.findings]
    assert all(in_words(each) for each in findings)
    return {str(each.kind) for each in findings if isinstance(each, Finding)}
