"""Pauses for so many periods, resumptions and ends on a date."""

from datetime import datetime

import pytest

from billing.errors import BadInput, Conflict, ErrorCode
from billing.flows.subscriptions import lifecycle
from billing.rules.actor import Actor, ActorKind
from tests.scenarios.test_item_changes import PLANS, change, dues
from tests.scenarios.world import Subscriber, World

CLI = Actor(ActorKind.CLI, "operator")


def begun(world: World, **order: str) -> Subscriber:
    """Publish, subscribe and let January's first days pass."""
    world.publish(PLANS)
    customer = world.subscribed("basic", **order)
    world.run_until("2026-01-10")
    return customer


def pause(world: World, customer: Subscriber, **how: object) -> None:
    lifecycle.pause(
        world.engine, customer.reference, now=world.now, actor=CLI, why="holiday",
        **how,  # type: ignore[arg-type]
    )  # fmt: skip


def resume(world: World, customer: Subscriber, **how: object) -> None:
    lifecycle.resume(
        world.engine, customer.reference, now=world.now, actor=CLI, why="back",
        **how,  # type: ignore[arg-type]
    )  # fmt: skip


def day(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    "how",
    [{"periods": 2}, {"until": day("2026-04-01")}, {"until": day("2026-03-15")}],
    ids=lambda how: next(iter(how)),
)
def test_a_pause_is_over_by_itself(world: World, how: dict[str, object]) -> None:
    customer = begun(world)

    pause(world, customer, **how)
    world.run_until("2026-03-20")
    assert world.status(customer) == "paused"
    world.run_until("2026-04-02")

    assert world.kinds(customer) == ["regular", "paused", "paused", "regular"]
    assert world.status(customer) == "active"
    assert "resumed" in world.events(customer)
    world.assert_everything_adds_up()


def test_a_pause_that_is_over_is_seen_late(world: World) -> None:
    customer = begun(world)

    pause(world, customer, periods=1)
    world.jump_to("2026-04-10")
    world.run_until("2026-04-11")

    assert world.kinds(customer) == ["regular", "paused", "regular", "regular"]
    assert world.status(customer) == "active"
    world.assert_everything_adds_up()


def test_a_pause_is_resumed_on_a_date_in_its_zone(world: World) -> None:
    customer = begun(world, zone="Pacific/Auckland")

    pause(world, customer)
    world.run_until("2026-02-10")
    resume(world, customer, on=day("2026-04-01"))
    world.run_until("2026-04-02")

    assert world.kinds(customer)[:4] == ["regular", "paused", "paused", "regular"]
    assert world.status(customer) == "active"
    world.assert_everything_adds_up()


def test_a_pause_that_would_be_over_later_is_resumed_at_once(world: World) -> None:
    customer = begun(world)

    pause(world, customer, periods=5)
    world.run_until("2026-02-10")
    resume(world, customer)
    world.run_until("2026-03-02")

    assert world.kinds(customer) == ["regular", "paused", "regular"]
    world.assert_everything_adds_up()


def test_a_change_during_a_pause_holds_when_it_is_over(world: World) -> None:
    customer = begun(world)

    pause(world, customer, periods=1)
    change(world, customer, quantity=3)
    world.run_until("2026-03-02")

    assert dues(world, customer) == [930, 2790]
    world.assert_everything_adds_up()


def test_a_second_pause_after_one_that_was_over(world: World) -> None:
    customer = begun(world)

    pause(world, customer, periods=1)
    world.run_until("2026-03-02")
    pause(world, customer)
    world.run_until("2026-04-02")

    assert world.kinds(customer) == ["regular", "paused", "regular", "paused"]
    assert world.status(customer) == "paused"
    world.assert_everything_adds_up()


@pytest.mark.parametrize(
    ("on", "cycles", "ended"),
    [
        ("2026-03-15", 3, "2026-04-01"),  # the period in which the day lies is served
        ("2026-03-01", 2, "2026-03-01"),  # a boundary: the period from then on isn't begun
        ("2026-01-20", 1, "2026-02-01"),
    ],
)
def test_an_end_on_a_date(world: World, on: str, cycles: int, ended: str) -> None:
    customer = begun(world)

    lifecycle.cancel(
        world.engine, customer.reference,
        at_period_end=True, now=world.now, actor=CLI, why="moves", on=day(on),
    )  # fmt: skip
    world.run_until("2026-05-02")

    assert len(world.cycles(customer)) == cycles
    found = world.subscription(customer)
    assert (found.status, f"{found.canceled_at:%Y-%m-%d}") == ("canceled", ended)
    world.assert_everything_adds_up()


def test_an_end_on_a_date_is_taken_back(world: World) -> None:
    customer = begun(world)

    lifecycle.cancel(
        world.engine, customer.reference,
        at_period_end=True, now=world.now, actor=CLI, why="moves", on=day("2026-03-15"),
    )  # fmt: skip
    world.run_until("2026-02-10")
    resume(world, customer)
    world.run_until("2026-05-02")

    assert world.kinds(customer) == ["regular"] * 5
    world.assert_everything_adds_up()


def test_dates_that_mean_nothing_are_refused(world: World) -> None:
    customer = begun(world)

    with pytest.raises(BadInput) as passed:
        pause(world, customer, until=day("2026-01-05"))
    assert passed.value.code is ErrorCode.DATE_PASSED
    for how in ({"periods": 0}, {"periods": 1, "until": day("2026-03-01")}):
        with pytest.raises(BadInput):
            pause(world, customer, **how)
    with pytest.raises(Conflict, match="isn't paused"):
        resume(world, customer, on=day("2026-03-01"))
