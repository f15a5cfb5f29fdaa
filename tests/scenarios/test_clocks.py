"""Clocks that are wrong: nobody is billed early, and a wrong lease holds nothing back."""

from datetime import timedelta

import pytest

from billing.errors import Unavailable
from billing.flows.cycles.opening import open_due_cycles
from billing.flows.policy import Policy
from tests.scenarios.test_changes import BASE, HEAD, plan
from tests.scenarios.test_operators import cancel, release
from tests.scenarios.world import BEGINNING, World


@pytest.mark.parametrize("ahead", [timedelta(minutes=6), timedelta(days=65)])
def test_a_scheduler_whose_clock_is_ahead_of_the_databases_opens_nothing(
    world: World, ahead: timedelta
) -> None:
    customer = world.subscribed("video-premium")
    world.run_until("2026-01-31 23:58")

    opened = open_due_cycles(world.engine, now=world.now + ahead, limit=500, policy=world.policy)

    assert (opened.seen, opened.clock_ahead_by) == (0, ahead)
    assert len(world.cycles(customer)) == 1


def test_an_operator_whose_clock_is_ahead_of_the_databases_bills_nothing(world: World) -> None:
    world.publish(HEAD + plan("p", "1 month", BASE, extra='catch_up = "park"'))
    parked, running = world.subscribed("p"), world.subscribed("video-premium")
    world.run_until("2026-01-05")
    world.jump_to("2026-03-05")
    world.tick()
    before = [len(world.cycles(each)) for each in (parked, running)]
    world.now += timedelta(days=65)

    with pytest.raises(Unavailable, match="ahead of the database"):
        release(world, parked, "bill")
    with pytest.raises(Unavailable, match="ahead of the database"):
        cancel(world, running)

    assert [len(world.cycles(each)) for each in (parked, running)] == before
    assert world.status(running) == "active"


def test_a_clock_that_is_a_little_ahead_is_right_enough(world: World) -> None:
    world.subscribed("video-premium")
    world.run_until("2026-01-31 23:58")
    now = world.now + timedelta(minutes=4)

    assert open_due_cycles(world.engine, now=now, limit=500, policy=world.policy).opened == 1


@pytest.mark.parametrize("ahead", [timedelta(hours=2), timedelta(days=400)])
def test_the_wrong_clock_of_a_moment_ago_holds_no_payment_back(
    world: World, ahead: timedelta
) -> None:
    real = world.wall
    customer = world.subscribed("video-premium")
    world.open()
    world.wall = real + ahead
    (payment_id,) = world.dispatch()
    world.begin(payment_id)
    world.wall = real + timedelta(minutes=3)

    assert world.dispatch() == [payment_id]
    world.charge(payment_id)

    assert (world.payment(customer).state, world.psp.sends()) == ("CAPTURED", 1)


@pytest.mark.parametrize(("minutes", "holds"), [(1, True), (-1, False), (60 * 24 * 400, False)])
def test_a_lease_holds_until_it_is_over_unless_it_lies_further_ahead_than_one_can(
    minutes: int, holds: bool
) -> None:
    assert Policy().is_held(BEGINNING + timedelta(minutes=minutes), BEGINNING) is holds
    assert not Policy().is_held(None, BEGINNING)


def test_a_lease_of_a_right_clock_holds(world: World) -> None:
    world.subscribed("video-premium")
    world.open()
    (payment_id,) = world.dispatch()
    world.begin(payment_id)

    assert world.dispatch() == []
    assert world.begin(payment_id) is None
