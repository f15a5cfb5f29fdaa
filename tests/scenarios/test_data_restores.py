"""Rows of a backup are put into a database that runs: its server and its tables stay the same."""

from datetime import timedelta

import psycopg
import pytest
from psycopg import sql

from billing.flows import fence
from billing.rules.reconciliation.knowledge import FenceCause, FenceState
from billing.store import fences
from tests.restoring import emptied
from tests.scenarios.backups import Backups, fence_of, recover
from tests.scenarios.money import paid
from tests.scenarios.world import World, at


def work(world: World) -> None:
    """Let everybody work as long as a message may take."""
    for _ in range(3):
        world.tick()
        world.wait(world.policy.dispatch_window)


@pytest.mark.parametrize("later", ["2026-02-01 01:00", "2026-02-02 12:00", "2026-02-08"])
def test_rows_of_a_backup_alone_charge_nobody_again(
    world: World, backups: Backups, later: str
) -> None:
    subscribers = [paid(world) for _ in range(3)]
    world.run_until("2026-01-31 23:00")
    assert fence_of(world).passes
    restore = backups.take_data()
    world.run_until(later)
    taken, sends, now = world.psp.captured(), world.psp.sends(), world.now

    restore()
    world._pin(now)
    work(world)
    assert (world.psp.captured(), world.psp.sends()) == (taken, sends)
    found = fence_of(world)
    assert (found.state, found.cause) == (FenceState.RECOVERING, FenceCause.BEHIND)

    recover(world)
    assert world.settle()
    assert [world.psp.captures(each) for each in subscribers] == [2, 2, 2]
    world.assert_everything_adds_up()


def test_rows_that_miss_nothing_are_compared_and_charge_on(world: World, backups: Backups) -> None:
    subscriber = paid(world)
    world.run_until("2026-01-31 23:00")
    backups.take_data()()
    assert not fence_of(world).current
    world.run_until("2026-02-15")
    assert fence_of(world).passes
    assert world.psp.captures(subscriber) == 2
    world.assert_everything_adds_up()


def test_a_fence_that_was_left_out_of_a_restore_does_not_pass(
    world: World, backups: Backups, db_url: str
) -> None:
    """The table of the calls was emptied, whatever the fence says."""
    paid(world)
    with psycopg.connect(db_url) as conn:
        conn.execute("ALTER TABLE provider_calls DISABLE TRIGGER ALL")
        conn.execute("TRUNCATE provider_calls")
        conn.execute("ALTER TABLE provider_calls ENABLE TRIGGER ALL")
    assert not fence_of(world).current


def test_an_emptied_database_opens_no_fence_for_what_is_restored_into_it(
    world: World, backups: Backups, db_url: str
) -> None:
    """The engine runs while rows come back table by table, and asks in between."""
    paid(world)
    world.run_until("2026-01-31 23:00")
    restore = backups.take_data()
    world.run_until("2026-02-02 12:00")
    now = world.now
    emptied(db_url)
    assert fence.passes(world.context(), world.provider), "nothing is here that could be charged"
    with world.engine.connect() as conn:
        assert fences.find(conn, world.provider) is None

    restore()
    world._pin(now)
    assert not fence.passes(world.context(), world.provider)


def test_a_change_of_a_fence_by_hand_has_it_compared_again(world: World, db_url: str) -> None:
    paid(world)
    with psycopg.connect(db_url) as conn:
        conn.execute(sql.SQL("UPDATE provider_fences SET state = 'open'"))
    assert not fence_of(world).current
    world.wait(timedelta(hours=1))
    assert fence.passes(world.context(), world.provider)


def as_of_the_snapshot(world: World, moment: str) -> None:
    """Let the fence be as it was then, and current: its server has not stopped since."""
    with world.engine.begin() as conn:
        database, then = fences.this_database(conn), at(moment)
        provider = world.provider
        fences.open_for(conn, provider, database=database, known_until=then, now=then)


def test_a_server_whose_memory_was_set_back_with_its_disk_charges_nobody_again(
    world: World, backups: Backups
) -> None:
    """A snapshot of a running machine: the fence is current, and says what it said then."""
    subscriber = paid(world)
    world.run_until("2026-01-31 23:00")
    assert fence.passes(world.context(), world.provider)
    restore = backups.take(world)
    world.run_until("2026-02-02 12:00")
    seen = fence_of(world).horizon

    snapshot = restore()
    as_of_the_snapshot(snapshot, "2026-01-31 23:00")
    fence.saw_horizon(snapshot.engine, seen + 1_000)  # its process has seen what came later
    work(snapshot)
    assert world.psp.captures(subscriber) == 2
    assert fence_of(snapshot).state is FenceState.RECOVERING
    recover(snapshot)
    assert snapshot.settle()
    snapshot.assert_everything_adds_up()
