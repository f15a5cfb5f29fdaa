"""How a subscription stands at the instant of an event decides whether the event counts."""

from typing import Final

import pytest

from tests.scenarios.metering import CATALOG, Usage
from tests.scenarios.test_dates import pause
from tests.scenarios.test_operators import cancel
from tests.scenarios.world import Subscriber, World

UNPAID: Final = CATALOG.replace(
    'every = "1 month"', 'every = "1 month"\nretry_after = ["2d"]\nthen = "unpaid"'
)
TRIAL: Final = CATALOG.replace('every = "1 month"', 'every = "1 month"\ntrial = "14 days"')


def begun(world: World, until: str, catalog: str = CATALOG, **order: str) -> Usage:
    world.publish(catalog)
    ada: Subscriber = world.subscribed("metered", **order)
    world.run_until(until)
    return Usage(world, ada)


def taken(usage: Usage, at: str) -> str:
    """Return what becomes of an event at an instant."""
    answer = usage.send(usage.event("call", user="bob", at=f"{at}+00:00"))
    return str(answer.refused[0].reason) if answer.refused else "accepted"


@pytest.mark.parametrize(
    ("at", "becomes"),
    [
        ("2026-01-31T23:59:59", "accepted"),
        ("2026-02-01T00:00:00", "paused"),
        ("2026-02-09T00:00:00", "paused"),
    ],
)
def test_usage_of_a_period_that_passes_paused_is_refused(
    world: World, at: str, becomes: str
) -> None:
    usage = begun(world, "2026-01-10")
    pause(world, usage.subscriber)
    assert taken(usage, "2026-01-10T00:00:00") == "accepted", "what was paid for is served"
    world.run_until("2026-02-10")

    assert taken(usage, at) == becomes


def test_a_pause_that_was_asked_for_holds_before_its_period_is_opened(world: World) -> None:
    usage = begun(world, "2026-01-10")
    pause(world, usage.subscriber)
    world.jump_to("2026-02-01 00:01")

    assert taken(usage, "2026-02-01T00:00:30") == "paused"


def test_after_an_end_at_once_what_was_used_before_it_is_accepted(world: World) -> None:
    usage = begun(world, "2026-01-10 12:00")
    assert taken(usage, "2026-01-10T12:00:00") == "accepted"
    cancel(world, usage.subscriber)
    world.run_until("2026-01-20")

    assert taken(usage, "2026-01-10T11:59:59") == "accepted"
    assert taken(usage, "2026-01-10T12:00:00") == "canceled"
    assert taken(usage, "2026-01-20T00:00:00") == "canceled"


def test_an_end_with_the_period_is_the_end_of_its_usage(world: World) -> None:
    usage = begun(world, "2026-01-10")
    cancel(world, usage.subscriber, at_period_end=True)
    world.jump_to("2026-01-31 23:58")

    assert taken(usage, "2026-02-01T00:00:00") == "canceled"
    assert taken(usage, "2026-01-31T23:59:59") == "accepted"
    world.run_until("2026-02-10")
    assert taken(usage, "2026-01-31T23:59:59.999999") == "accepted"
    assert taken(usage, "2026-02-01T00:00:00") == "canceled"
    world.run_until("2026-03-20")
    assert taken(usage, "2026-01-31T23:59:59.999999") == "too_old"


def test_once_collecting_is_given_up_usage_is_refused(world: World) -> None:
    usage = begun(world, "2026-01-01 12:00", UNPAID, card="pm_card_chargeCustomerFail")
    assert world.status(usage.subscriber) == "past_due"
    assert taken(usage, "2026-01-01T12:00:00") == "accepted"
    world.run_until("2026-01-10")
    assert world.status(usage.subscriber) == "unpaid"

    assert taken(usage, "2026-01-10T00:00:00") == "unpaid"
    assert taken(usage, "2026-01-02T00:00:00") == "accepted"


def test_usage_of_a_trial_is_counted_in_its_period(world: World) -> None:
    usage = begun(world, "2026-01-14", TRIAL)

    assert taken(usage, "2026-01-13T00:00:00") == "accepted"
    world.run_until("2026-01-20")
    assert taken(usage, "2026-01-15T00:00:00") == "accepted"
    assert usage.totals("events") == {
        ("calls", 0): "1", ("callers", 0): "1", ("calls", 1): "1", ("callers", 1): "1",
    }  # fmt: skip


def test_what_is_known_of_a_subscription_is_read_anew_once_it_changed(world: World) -> None:
    """The process that counts has seen it before; nobody tells it."""
    usage = begun(world, "2026-01-10")
    assert taken(usage, "2026-01-10T00:00:00") == "accepted"
    other = Usage(world, usage.subscriber)

    cancel(world, usage.subscriber)
    world.jump_to("2026-01-11")

    assert taken(usage, "2026-01-10T12:00:00") == "canceled"
    assert taken(other, "2026-01-10T12:00:00") == "canceled"
