"""Usage that passes a part of what its item includes: noted once, however often one looks."""

from typing import Any

import pytest
from sqlalchemy import text

from billing.flows.cycles.usage_alerts import UsageAlerts
from billing.flows.usage.book import UsageBook
from billing.rules.item_changes import Applies
from billing.store.subscriptions import subscriptions
from tests.scenarios import test_usage_billed
from tests.scenarios.test_item_changes import change
from tests.scenarios.test_usage_billed import METERED, use
from tests.scenarios.world import Subscriber, World

ALERTED = METERED.replace("included = 100", "included = 100\n    alert = 80")
PRO = (
    ALERTED[ALERTED.index("[[plan]]") :]
    .replace('"team"', '"pro"')
    .replace("30.00", "60.00")
    .replace("included = 100", "included = 50")
)


@pytest.fixture(autouse=True)
def _book(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be known of a subscription of another test."""
    monkeypatch.setattr(test_usage_billed, "BOOK", UsageBook())


def alerts(world: World, customer: Subscriber) -> list[tuple[Any, ...]]:
    """Return period, segment, percentage and quantity of each alert, as they were noted."""
    with world.engine.connect() as conn:
        found = subscriptions.events(conn, customer.subscription_id)
    names = ("n", "segment", "percent", "quantity")
    return [
        tuple(each.detail[name] for name in names) for each in found if each.kind == "usage_alert"
    ]


def test_usage_that_passes_a_threshold_is_noted_once(world: World) -> None:
    world.publish(ALERTED)
    customer = world.subscribed("team")
    looking = UsageAlerts()
    use(world, customer, "2026-01-05 10:00", 79, n=0)
    assert looking.look(world.engine, world.now) == 0

    use(world, customer, "2026-01-05 11:00", 1, n=0)
    assert looking.look(world.engine, world.now) == 1
    assert looking.look(world.engine, world.now) == 0
    assert UsageAlerts().look(world.engine, world.now) == 0, "a process that began anew"

    use(world, customer, "2026-01-06", 30, n=0)
    assert looking.look(world.engine, world.now) == 1
    use(world, customer, "2026-02-06", 200, n=1)
    assert looking.look(world.engine, world.now) == 2

    assert alerts(world, customer) == [
        (0, 0, 80, "80"), (0, 0, 100, "110"), (1, 0, 80, "200"), (1, 0, 100, "200"),
    ]  # fmt: skip
    world.assert_everything_adds_up()


def test_what_comes_late_counts_too_and_what_is_taken_back_takes_no_alert_away(
    world: World,
) -> None:
    world.publish(ALERTED)
    customer = world.subscribed("team")
    looking = UsageAlerts()
    use(world, customer, "2026-01-05", 70, n=0)
    world.run_until("2026-02-10")
    assert looking.look(world.engine, world.now) == 0

    use(world, customer, "2026-01-20", 20, n=0)
    assert looking.look(world.engine, world.now) == 1
    use(world, customer, "2026-01-21", -60, n=0)
    use(world, customer, "2026-01-22", 60, n=0)

    assert looking.look(world.engine, world.now) == 0
    assert alerts(world, customer) == [(0, 0, 80, "90")]


def test_what_is_used_after_a_change_is_compared_with_what_the_new_plan_includes(
    world: World,
) -> None:
    world.publish(ALERTED + PRO)
    customer = world.subscribed("team")
    looking = UsageAlerts()
    use(world, customer, "2026-01-05", 70, n=0)
    world.run_until("2026-01-10")
    change(world, customer, Applies.NOW, plan="pro")
    use(world, customer, "2026-01-12", 39, n=0, segment=1)
    assert looking.look(world.engine, world.now) == 0

    use(world, customer, "2026-01-13", 1, n=0, segment=1)
    use(world, customer, "2026-01-09", 15, n=0)

    assert looking.look(world.engine, world.now) == 2
    assert alerts(world, customer) == [(0, 0, 80, "85"), (0, 1, 80, "40")]


@pytest.mark.parametrize("aggregate", ["count", "max", "last", "unique"])
def test_every_sort_of_meter_has_alerts(world: World, aggregate: str) -> None:
    reads = {"count": "", "unique": 'key = "n"'}.get(aggregate, 'value = "n"')
    plan = ALERTED.replace('value = "n"', reads).replace('"sum"', f'"{aggregate}"')
    world.publish(plan.replace("included = 100", "included = 2"))
    customer = world.subscribed("team")
    looking = UsageAlerts()
    use(world, customer, "2026-01-05", 1, n=0)
    assert looking.look(world.engine, world.now) == 0

    use(world, customer, "2026-01-06", 2, n=0)

    assert looking.look(world.engine, world.now) == 2
    assert [percent for _, _, percent, _ in alerts(world, customer)] == [80, 100]


def test_the_database_takes_an_alert_once(world: World) -> None:
    world.publish(ALERTED)
    customer = world.subscribed("team")
    use(world, customer, "2026-01-05", 100, n=0)
    first, second = UsageAlerts(), UsageAlerts()
    first.look(world.engine, world.now)

    second.look(world.engine, world.now)

    with world.engine.connect() as conn:
        query = text("SELECT count(*) FROM subscription_events WHERE kind = 'usage_alert'")
        assert conn.execute(query).scalar_one() == 2
