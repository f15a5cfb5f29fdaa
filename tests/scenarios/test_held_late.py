"""Whoever opens a period, it is billed by what is held: a release, an end, a recovery, too."""

from tests.scenarios.backups import Backups, recover
from tests.scenarios.test_facts import TEAM, granted, left, lines_of
from tests.scenarios.test_operators import cancel, parked_for, release
from tests.scenarios.world import World

WAITING = TEAM.replace("anchor_day = 1", 'anchor_day = 1\ncatch_up = "park"')
HELD = [("base", 1, 9900), ("seats", 7, 2400)]


def test_periods_that_an_operator_releases_are_billed_by_what_is_held(world: World) -> None:
    world.publish(WAITING)
    customer = world.subscribed("team", items={"seats": 7})
    world.run_until("2026-01-02")
    granted(world, customer, 20000)
    world.jump_to("2026-04-10")
    world.settle()
    assert parked_for(world, customer) == "catch_up"

    assert release(world, customer, "bill") == ("bill", 3)
    world.settle()

    assert [lines_of(world, each) for each in world.invoices(customer)[1:]] == [HELD] * 3
    assert [each.credit for each in world.invoices(customer)[1:]] == [12300, 7700, 0]
    assert left(world, customer) == [0]
    world.assert_everything_adds_up()


def test_a_period_that_was_served_before_an_end_is_billed_by_what_was_held(world: World) -> None:
    world.publish(TEAM)
    customer = world.subscribed("team", items={"seats": 7})
    world.run_until("2026-01-02")
    granted(world, customer, 12300)
    world.jump_to("2026-03-10")

    cancel(world, customer)
    world.settle()

    assert lines_of(world, world.invoices(customer)[1]) == HELD
    assert world.invoices(customer)[1].credit == 12300
    world.assert_everything_adds_up()


def test_a_recovery_bills_by_what_is_held(world: World, backups: Backups) -> None:
    world.publish(TEAM)
    customer = world.subscribed("team", items={"seats": 7})
    granted(world, customer, 40000)
    world.run_until("2026-01-30")
    restore = backups.take(world)
    world.run_until("2026-03-04")
    captures = world.psp.captures(customer)

    restored = restore()
    recover(restored)
    restored.settle()

    assert [lines_of(restored, each) for each in restored.invoices(customer)[1:]] == [HELD] * 2
    assert restored.psp.captures(customer) == captures == 2
    restored.assert_everything_adds_up()
