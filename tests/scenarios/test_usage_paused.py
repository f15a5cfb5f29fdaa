"""Usage of a paused period: refused, or counted and billed if the settings say so."""

from dataclasses import replace

import pytest

from billing.flows.usage.book import UsageBook
from tests.scenarios import test_usage_billed
from tests.scenarios.metering import Usage
from tests.scenarios.test_dates import pause
from tests.scenarios.test_usage_billed import METERED, closings, lines, use
from tests.scenarios.world import Subscriber, World

BOUNDED = METERED + '    minimum = { USD = "3.10" }\n'


@pytest.fixture(autouse=True)
def _counting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_usage_billed, "BOOK", UsageBook(counts_paused=True))


def paused(world: World, plan: str = METERED) -> Subscriber:
    """Return who used 120 units in January and is paused from February on."""
    world.publish(plan)
    customer = world.subscribed("team")
    use(world, customer, "2026-01-05", 120, n=0)
    pause(world, customer)
    return customer


def test_what_is_used_while_paused_is_billed_when_the_next_period_begins(world: World) -> None:
    customer = paused(world)
    use(world, customer, "2026-02-10", 150, n=1)

    world.run_until("2026-03-02")

    assert lines(world, customer)[1:] == [
        ("final", "0001", "searches, 2026-01-01 to 2026-01-31", 200),
        ("final", "0002", "searches, 2026-02-01 to 2026-02-28", 500),
    ]
    world.assert_everything_adds_up()


def test_it_is_counted_before_the_paused_period_is_opened(world: World) -> None:
    customer = paused(world)
    world.jump_to("2026-02-01 00:30")
    use(world, customer, "2026-02-01 00:10", 150, n=1)
    world.run_until("2026-03-02")

    assert [amount for _, _, _, amount in lines(world, customer)[1:]] == [200, 500]
    world.assert_everything_adds_up()


def test_a_paused_period_has_no_minimum(world: World) -> None:
    """In February 5 units are used, and in March none."""
    customer = paused(world, BOUNDED.replace("included = 100\n", ""))
    use(world, customer, "2026-02-10", 5, n=1)

    world.run_until("2026-04-02")

    assert [amount for _, _, _, amount in lines(world, customer)[1:]] == [1200, 50]
    assert closings(world, customer)[1:] == [(1, 0, 1, "5", True), (2, 0, 1, "0", False)]
    world.assert_everything_adds_up()


def test_late_usage_of_a_paused_period_is_billed_too(world: World) -> None:
    customer = paused(world, BOUNDED)
    world.run_until("2026-03-02")
    use(world, customer, "2026-02-10", 105, n=1)

    world.run_until("2026-04-02")

    assert lines(world, customer)[-1:] == [
        ("final", "0003", "searches, late usage of 2026-02-01 to 2026-02-28", 50)
    ]
    world.assert_everything_adds_up()


def test_the_setting_says_whether_it_counts(world: World) -> None:
    customer = paused(world)
    world.run_until("2026-02-10")
    usage = Usage(world, customer)

    assert usage.refused(usage.event()) == ["paused"]
    assert not world.policy.counts_paused
    usage.book = UsageBook(counts_paused=replace(world.policy, counts_paused=True).counts_paused)
    assert usage.send(usage.event()).accepted == 1
