"""Usage that is sent: counted once, in the period of its instant, or refused with a reason."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from billing.rules.usage import UsageNumber, event_id
from tests.scenarios.metering import CATALOG, Usage
from tests.scenarios.world import World


@pytest.fixture
def usage(world: World) -> Usage:
    """A subscriber to the metered plan, in the middle of their second period."""
    world.publish(CATALOG)
    ada = world.subscribed("metered")
    world.run_until("2026-02-15")
    return Usage(world, ada)


# --- counted ------------------------------------------------------------------------------------


def test_values_are_added_exactly(usage: Usage) -> None:
    numbers = ("0.1", "0.2", "1e3", "999999999999999999", "0.000000000001", "-2")

    answer = usage.send(*(usage.event(n=UsageNumber(n)) for n in numbers))

    assert answer.accepted == 6
    assert usage.totals("events", "sum") == {
        ("searches", 1): ("6", "1000000000000000997.300000000001")
    }


def test_an_event_counts_on_each_of_its_meters(usage: Usage) -> None:
    calls = [usage.event("call", user=user) for user in ("bob", "carol", "bob")]

    assert usage.send(*calls).accepted == 3
    assert usage.totals("events", "keys") == {
        ("callers", 1): ("3", "2"),
        ("calls", 1): ("3", None),
    }


def test_the_largest_and_the_latest_value_are_those_of_the_events_instants(usage: Usage) -> None:
    usage.send(usage.event("gauge", n=UsageNumber("5"), ago="100s"))
    usage.send(
        usage.event("gauge", n=UsageNumber("3"), ago="50s"),
        usage.event("gauge", n=UsageNumber("9"), ago="200s"),
    )
    usage.send(usage.event("gauge", n=UsageNumber("4"), ago="60s"))

    assert usage.totals("max", "last") == {
        ("latest", 1): ("9", "3"),
        ("peak", 1): ("9", "3"),
    }


def test_a_level_is_weighed_by_time(usage: Usage) -> None:
    start, now = usage.world.now - timedelta(days=14), usage.world.now
    usage.send(
        usage.event("box", n=UsageNumber("10"), at=start.isoformat()),
        usage.event("box", n=UsageNumber("-4"), at=(now - timedelta(days=7)).isoformat()),
    )

    total, moment = usage.totals("sum", "moment")["boxes", 1]

    end = int(now.timestamp())
    assert int(total) * end - int(moment) == 10 * 14 * 86_400 - 4 * 7 * 86_400


def test_periods_are_half_open_in_the_zone_of_the_subscription(world: World) -> None:
    """At 19:00 in New York, which is an hour earlier in UTC once the clocks went forward."""
    world.publish(CATALOG)
    world.run_until("2026-01-02")
    ada = world.subscribed("metered", zone="America/New_York")
    world.run_until("2026-04-03")
    usage = Usage(world, ada)

    usage.send(
        usage.event(at="2026-04-01T22:59:59.999999Z"),
        usage.event(at="2026-04-01T18:59:59.999999-04:00"),
        usage.event(at="2026-04-01T19:00:00-04:00"),
        usage.event(at="2026-04-02T00:00:00Z"),
    )

    assert usage.totals("events") == {("searches", 2): "2", ("searches", 3): "2"}


def test_an_event_of_a_period_that_is_not_opened_yet_counts_for_it(usage: Usage) -> None:
    usage.world.jump_to("2026-02-28T23:58:00")

    usage.send(usage.event(ago="-60s"), usage.event(ago="-180s"))

    assert usage.totals("events") == {("searches", 1): "1", ("searches", 2): "1"}
    usage.world.run_until("2026-03-02")
    usage.send(usage.event(at="2026-03-01T00:00:00Z"))
    assert usage.totals("events") == {("searches", 1): "1", ("searches", 2): "2"}


def test_a_customer_and_an_item_name_the_subscription_that_bills_it(usage: Usage) -> None:
    who = usage.subscriber.customer

    def event(customer: str, item: str) -> dict[str, Any]:
        return usage.event(subscription=None, customer=customer, item=item)

    assert usage.send(event(who, "searches"), event(who, "calls")).accepted == 2
    assert usage.refused(event(who, "base"), event("nobody", "searches")) == [
        "not_sold",
        "unknown_subscription",
    ]


# --- once ---------------------------------------------------------------------------------------


def test_what_is_sent_again_is_not_counted_again(usage: Usage) -> None:
    rows = [usage.event(), usage.event("call", user="bob")]
    assert usage.send(*rows).accepted == 2

    again = usage.send(rows[1], usage.event(), rows[0], rows[0])

    assert (again.accepted, again.repeated) == (1, (0, 2, 3))
    assert usage.totals("events") == {
        ("searches", 1): "2",
        ("calls", 1): "1",
        ("callers", 1): "1",
    }


@pytest.mark.parametrize(
    "other",
    [{"n": UsageNumber("2")}, {"note": "x"}, {"ago": "1s"}, {"region": "us"}],
    ids=str,
)
def test_an_id_with_another_payload_or_instant_conflicts(
    usage: Usage, other: dict[str, str]
) -> None:
    first = usage.event(id="one")
    second = usage.event(id="one", **other)

    assert usage.send(first).accepted == 1
    assert usage.send(second).conflicting == (0,)
    assert usage.send(first, usage.event(id="two"), usage.event(id="two", **other)) == (
        usage.send(first).__class__(accepted=1, repeated=(0,), conflicting=(2,))
    )
    assert usage.totals("events", "sum") == {("searches", 1): ("2", "2")}


def test_after_days_an_event_is_still_counted_once_and_another_payload_conflicts(
    usage: Usage,
) -> None:
    first = usage.event(id="one")
    other = {**first, "properties": {"n": UsageNumber("7"), "region": "eu"}}
    usage.send(first)
    usage.world.jump_to("2026-02-20")

    assert usage.send(other).conflicting == (0,)
    usage.world.jump_to("2026-02-24T12:00:00")
    assert usage.send(first).repeated == (0,)
    assert usage.totals("events", "sum") == {("searches", 1): ("1", "1")}


def test_texts_and_uuids_are_ids() -> None:
    assert event_id("6F1C9F6B-6c4e-5c0e-9a55-0f8d4f0b6a12") == UUID(
        "6f1c9f6b-6c4e-5c0e-9a55-0f8d4f0b6a12"
    )
    assert event_id("req-1") != event_id("req-2")


# --- refused ------------------------------------------------------------------------------------


def test_bad_rows_are_refused_one_by_one(usage: Usage) -> None:
    good = usage.event()
    rows = {
        "no_id": usage.event(id=""),
        "unreadable": {**good, "propertys": {}},
        "bad_time": usage.event(at="2026-02-14T00:00:00"),
        "in_future": usage.event(ago="-301s"),
        "too_old": usage.event(ago=f"{10 * 86_400 + 1}s"),
        "unknown_event": usage.event("nothing"),
        "unknown_subscription": usage.event(subscription="nobody"),
        "filtered": usage.event(region="ap"),
        "bad_value": usage.event(n=UsageNumber("1e18")),
    }

    answer = usage.send(*rows.values(), good)

    assert [str(each.reason) for each in answer.refused] == list(rows)
    assert [each.index for each in answer.refused] == list(range(len(rows)))
    assert answer.accepted == 1
    assert usage.received() == {"accepted": 1, "counted": 1, **dict.fromkeys(rows, 1)}


@pytest.mark.parametrize(
    "value", [None, "", "NaN", "Infinity", "-inf", "1e18", "1e-13", "0x1", "1,5", "٣", True, [1]]
)
def test_what_is_no_number_within_bounds_is_refused(usage: Usage, value: object) -> None:
    assert usage.refused(usage.event(n=value)) == ["bad_value"]


def test_the_bounds_of_time_are_taken_exactly(usage: Usage) -> None:
    late = 10 * 86_400
    answer = usage.send(usage.event(ago="-300s"), usage.event(ago=f"{late}s"))
    assert answer.accepted == 2
    assert usage.refused(usage.event(ago="-301s"), usage.event(ago=f"{late + 1}s")) == [
        "in_future",
        "too_old",
    ]


def test_usage_before_the_subscription_or_after_its_end_is_refused(world: World) -> None:
    world.publish(CATALOG)
    world.run_until("2026-01-20")
    usage = Usage(world, world.subscribed("metered"))

    assert usage.refused(usage.event("call", user="bob", ago="60s")) == ["not_started"]
    assert usage.send(usage.event("call", user="bob")).accepted == 1


def test_a_subscription_without_the_item_takes_no_event_of_it(world: World) -> None:
    world.publish(CATALOG)
    usage = Usage(world, world.subscribed("video-basic"))
    world.run_until("2026-01-15")

    assert usage.refused(usage.event(), usage.event("nothing")) == ["not_sold", "unknown_event"]
