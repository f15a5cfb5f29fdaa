"""Segments: what changes of cadence, billing day and zone make of the periods that follow."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.plans.terms import Cadence
from billing.rules.periods import Anchor, NotStarted, Period, Schedule, nth
from billing.rules.schedule_orders import (
    DatedOrder,
    ScheduleOrder,
    begun,
    changes_schedule,
    planned,
)
from billing.rules.segments import Segment, Timetable

MONTHLY, YEARLY = Cadence(1, "month"), Cadence(1, "year")
WEEKLY, DAILY = Cadence(1, "week"), Cadence(1, "day")
TICK = timedelta(microseconds=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def schedule(start: str, cadence: Cadence = MONTHLY, zone: str = "UTC") -> Schedule:
    return Schedule(Anchor(datetime.fromisoformat(start), zone), cadence)


def after(
    start: str, order: ScheduleOrder, *, cadence: Cadence = MONTHLY, zone: str = "UTC"
) -> Timetable:
    """Return the timetable where an order holds from the end of the first period."""
    current = Segment(0, None, schedule(start, cadence, zone))
    end = current.nth(0).period.end
    return Timetable((current, *planned(current, [DatedOrder(end, order)], {1: end})))


def cut(start: str, order: ScheduleOrder, at: str) -> Timetable:
    """Return the timetable where an order cuts the first period."""
    current = Segment(0, None, schedule(start))
    dated = DatedOrder(utc(at), order, cuts=0)
    return Timetable((current, *planned(current, [dated], {})))


def starts(timetable: Timetable, count: int = 4) -> list[str]:
    found = [timetable.nth(n).period.start for n in range(count)]
    return [f"{each:%Y-%m-%d %H:%M}".removesuffix(" 00:00") for each in found]


@pytest.mark.parametrize(
    ("start", "order", "expected"),
    [
        ("2026-01-01", ScheduleOrder(every=YEARLY), ["2026-02-01", "2027-02-01", "2028-02-01"]),
        ("2026-01-31", ScheduleOrder(every=YEARLY), ["2026-02-28", "2027-02-28", "2028-02-29"]),
        (
            "2026-01-31",
            ScheduleOrder(every=Cadence(3, "month")),
            ["2026-02-28", "2026-05-31", "2026-08-31"],
        ),
        ("2026-01-31", ScheduleOrder(every=WEEKLY), ["2026-02-28", "2026-03-07", "2026-03-14"]),
        (
            "2026-01-10",
            ScheduleOrder(every=MONTHLY, anchor_day=1),
            ["2026-02-10", "2026-03-01", "2026-04-01"],
        ),
        ("2026-01-10", ScheduleOrder(billing_day=31), ["2026-02-10", "2026-02-28", "2026-03-31"]),
        (
            "2026-01-01",
            ScheduleOrder(zone="Asia/Tokyo"),
            ["2026-02-01", "2026-02-28 15:00", "2026-03-31 15:00"],
        ),
        (
            "2026-01-01",
            ScheduleOrder(zone="America/New_York"),
            ["2026-02-01", "2026-03-01 05:00", "2026-04-01 04:00"],
        ),
        (
            "2026-01-31",
            ScheduleOrder(zone="Asia/Tokyo"),
            ["2026-02-28", "2026-03-30 15:00", "2026-04-29 15:00"],
        ),
    ],
)
def test_a_segment_begins_where_a_period_ends(
    start: str, order: ScheduleOrder, expected: list[str]
) -> None:
    assert starts(after(start, order))[1:] == expected


@pytest.mark.parametrize(
    ("at", "order", "expected"),
    [
        ("2026-01-11 09:00", ScheduleOrder(every=YEARLY), ["2026-01-11 09:00", "2027-01-11 09:00"]),
        ("2026-01-20 10:00", ScheduleOrder(billing_day=15), ["2026-01-20 10:00", "2026-02-15"]),
        (
            "2026-01-20 10:00",
            ScheduleOrder(zone="Europe/Berlin"),
            ["2026-01-20 10:00", "2026-01-31 23:00"],
        ),
        (
            "2026-01-20 10:00",
            ScheduleOrder(every=YEARLY, zone="Europe/Berlin"),
            ["2026-01-20 10:00", "2027-01-20 10:00"],
        ),
        # The month is over in Tokyo.
        (
            "2026-01-31 20:00",
            ScheduleOrder(zone="Asia/Tokyo"),
            ["2026-01-31 20:00", "2026-02-28 15:00"],
        ),
    ],
)
def test_a_segment_begins_where_a_period_is_cut(
    at: str, order: ScheduleOrder, expected: list[str]
) -> None:
    assert starts(cut("2026-01-01", order, at), 3)[1:] == expected


@pytest.mark.parametrize(
    ("at", "order", "share"),
    [
        ("2026-01-11 09:00", ScheduleOrder(every=YEARLY), (1, 1)),
        ("2026-01-20 10:00", ScheduleOrder(billing_day=15), (26, 31)),
        ("2026-01-20 10:00", ScheduleOrder(zone="Europe/Berlin"), (12, 31)),
        ("2026-01-20 23:30", ScheduleOrder(zone="Europe/Berlin"), (11, 31)),
        ("2026-01-31 20:00", ScheduleOrder(zone="Asia/Tokyo"), (1, 1)),
        ("2026-01-20 10:00", ScheduleOrder(every=MONTHLY, anchor_day=1), (12, 31)),
    ],
)
def test_a_shorter_first_period_costs_its_share_of_days(
    at: str, order: ScheduleOrder, share: tuple[int, int]
) -> None:
    first = cut("2026-01-01", order, at).nth(1)
    assert (first.part, first.whole) == share


@pytest.mark.parametrize(
    ("zone", "moved", "hours"),
    [
        ("UTC", "Asia/Tokyo", 15),
        ("UTC", "America/New_York", 29),
        ("Pacific/Kiritimati", "Pacific/Pago_Pago", 25),
        ("Pacific/Pago_Pago", "Pacific/Kiritimati", 23),
    ],
)
def test_a_day_in_another_zone_is_no_shorter_than_half_of_one(
    zone: str, moved: str, hours: int
) -> None:
    timetable = after("2026-01-01", ScheduleOrder(zone=moved), cadence=DAILY, zone=zone)
    period = timetable.nth(1).period
    assert period.end - period.start == timedelta(hours=hours)
    assert timetable.nth(1).part == timetable.nth(1).whole


@pytest.mark.parametrize(
    "order",
    [
        ScheduleOrder(),
        ScheduleOrder(every=MONTHLY),
        ScheduleOrder(zone="UTC"),
        ScheduleOrder(every=MONTHLY, zone="UTC"),
    ],
)
def test_what_is_so_already_begins_no_segment(order: ScheduleOrder) -> None:
    held = schedule("2026-01-01")
    assert not changes_schedule(held, order)
    assert begun(held, order, utc("2026-02-01")) is None


def test_a_year_is_twelve_months() -> None:
    held = schedule("2026-01-01", YEARLY)
    assert not changes_schedule(held, ScheduleOrder(every=Cadence(12, "month")))
    assert changes_schedule(held, ScheduleOrder(every=Cadence(11, "month")))


def test_a_plan_without_days_of_its_own_keeps_those_that_are_held() -> None:
    held = replace(schedule("2026-01-01"), anchor_day=5)
    assert not changes_schedule(held, ScheduleOrder(every=MONTHLY))
    assert not changes_schedule(held, ScheduleOrder(every=MONTHLY, anchor_day=5))
    assert changes_schedule(held, ScheduleOrder(every=MONTHLY, anchor_day=6))


def test_the_trial_stays_and_the_segment_begins_after_it() -> None:
    tried = replace(schedule("2026-01-01"), trial=Cadence(14, "day"))
    current = Segment(0, None, tried)
    order = DatedOrder(utc("2026-01-05"), ScheduleOrder(every=YEARLY))

    (found,) = planned(current, [order], {})

    assert (found.from_n, found.starts_at) == (1, utc("2026-01-15"))
    assert found.nth(1).period == Period(utc("2026-01-15"), utc("2027-01-15"))


def test_before_the_first_period_the_first_segment_is_another_one() -> None:
    current = Segment(0, None, schedule("2026-03-01"))
    order = DatedOrder(utc("2026-03-01"), ScheduleOrder(every=YEARLY))

    (found,) = planned(current, [order], {0: utc("2026-03-01")})

    assert (found.from_n, found.starts_at) == (0, utc("2026-03-01"))
    assert Timetable((current, found)).nth(0).period.end == utc("2027-03-01")


def test_orders_for_one_start_are_one_segment_in_which_the_last_word_wins() -> None:
    current, at = Segment(0, None, schedule("2026-01-01")), utc("2026-02-01")
    orders = [
        ScheduleOrder(zone="Europe/Berlin"),
        ScheduleOrder(every=YEARLY),
        ScheduleOrder(every=WEEKLY, zone="Asia/Tokyo"),
    ]

    (found,) = planned(current, [DatedOrder(at, each) for each in orders], {1: at})

    assert found.schedule.cadence == WEEKLY
    assert found.schedule.anchor.zone == "Asia/Tokyo"


def test_an_order_that_is_taken_back_by_the_next_one_leaves_no_segment() -> None:
    current, at = Segment(0, None, schedule("2026-01-01")), utc("2026-02-01")
    there_and_back = [ScheduleOrder(every=YEARLY), ScheduleOrder(every=MONTHLY)]
    assert planned(current, [DatedOrder(at, each) for each in there_and_back], {}) == ()


@pytest.mark.parametrize(
    ("first", "later", "expected"),
    [
        (ScheduleOrder(billing_day=15), ScheduleOrder(every=YEARLY), 15),
        (ScheduleOrder(billing_day=15), ScheduleOrder(zone="UTC"), 15),
        (ScheduleOrder(billing_day=15), ScheduleOrder(billing_day=3), 3),
        (ScheduleOrder(billing_day=15), ScheduleOrder(every=WEEKLY), None),
        (ScheduleOrder(billing_day=15), ScheduleOrder(every=MONTHLY, anchor_day=1), None),
        (ScheduleOrder(every=YEARLY), ScheduleOrder(billing_day=3), 3),
    ],
)
def test_a_billing_day_is_kept_where_a_plan_leaves_the_days_open(
    first: ScheduleOrder, later: ScheduleOrder, expected: int | None
) -> None:
    assert first.then(later).billing_day == expected


def test_a_billing_day_says_nothing_of_weeks() -> None:
    held = schedule("2026-01-01", WEEKLY)
    assert begun(held, ScheduleOrder(billing_day=15), utc("2026-01-08")) is None


def test_what_is_scheduled_holds_with_the_first_period_after_a_cut() -> None:
    current = Segment(0, None, schedule("2026-01-01"))
    later = DatedOrder(utc("2026-02-01"), ScheduleOrder(zone="Europe/Berlin"))
    now = DatedOrder(utc("2026-01-11"), ScheduleOrder(every=Cadence(3, "month")), cuts=0)

    found = Timetable((current, *planned(current, [later, now], {1: utc("2026-02-01")})))

    assert starts(found) == ["2026-01-01", "2026-01-11", "2026-04-11", "2026-07-10 22:00"]


def test_what_should_hold_in_the_cut_period_already_begins_with_the_next_one() -> None:
    current = Segment(0, None, schedule("2026-01-01", YEARLY))
    held = DatedOrder(utc("2026-02-01"), ScheduleOrder(zone="Europe/Berlin"))
    now = DatedOrder(utc("2026-03-01"), ScheduleOrder(every=MONTHLY), cuts=0)

    (found,) = planned(current, [held, now], {0: utc("2026-01-01")})

    anchor = Anchor(datetime.fromisoformat("2026-03-01 01:00"), "Europe/Berlin")
    assert found.schedule.anchor == anchor
    assert found.schedule.cadence == MONTHLY


def test_an_announced_start_stays_where_a_zone_says_another_one_today() -> None:
    current = Segment(0, None, schedule("2026-01-01"))
    announced = utc("2026-02-01 01:00")
    order = DatedOrder(announced, ScheduleOrder(every=YEARLY))

    (found,) = planned(current, [order], {1: announced})

    assert found.starts_at == announced


def test_numbers_and_instants_say_one_period() -> None:
    timetable = cut("2026-01-01", ScheduleOrder(every=YEARLY), "2026-01-11 09:00")
    assert timetable.number_containing(utc("2026-01-11 09:00") - TICK) == 0
    assert timetable.number_containing(utc("2026-01-11 09:00")) == 1
    assert timetable.number_containing(utc("2027-01-11 09:00")) == 2
    with pytest.raises(NotStarted):
        timetable.number_containing(utc("2025-12-31"))
    with pytest.raises(ValueError, match="no segment"):
        Timetable(timetable.segments[1:]).nth(0)


def test_a_period_that_was_announced_ends_by_the_segment_that_it_is_of() -> None:
    timetable = after("2026-01-01", ScheduleOrder(every=YEARLY))
    start = utc("2026-02-01 01:00")
    assert timetable.nth_from(1, start).period == Period(start, utc("2027-02-01"))
    assert timetable.nth_from(0, utc("2026-02-01")).period.end == utc("2027-02-01")


def test_a_segment_and_an_order_are_read_as_they_were_written() -> None:
    order = ScheduleOrder(every=YEARLY, billing_day=15, zone="Asia/Tokyo")
    assert ScheduleOrder.of_detail(order.detail()) == order
    assert ScheduleOrder.of_detail({}) == ScheduleOrder()
    for segment in after("2026-01-31", ScheduleOrder(every=Cadence(3, "month"))).segments:
        assert Segment.of_document(segment.document()) == segment


# --- any sequence of changes --------------------------------------------------------------------

CADENCES = st.sampled_from(
    [MONTHLY, YEARLY, WEEKLY, Cadence(3, "month"), DAILY, Cadence(2, "week")]
)
ZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo", "Pacific/Kiritimati", "Pacific/Apia"]
)
ORDERS = st.builds(
    ScheduleOrder,
    every=st.none() | CADENCES,
    billing_day=st.none() | st.integers(1, 31),
    zone=st.none() | ZONES,
)
STARTS = st.datetimes(datetime(2025, 1, 1), datetime(2026, 12, 31))  # noqa: DTZ001


@given(
    start=STARTS,
    zone=ZONES,
    cadence=CADENCES,
    asked=st.lists(st.tuples(ORDERS, st.integers(0, 999), st.booleans()), max_size=6),
)
def test_periods_follow_each_other_whatever_is_changed(
    start: datetime, zone: str, cadence: Cadence, asked: list[tuple[ScheduleOrder, int, bool]]
) -> None:
    local = start.replace(microsecond=0)
    base = Segment(0, None, Schedule(Anchor(local, zone), cadence))
    opened: list[Period] = [nth(base.schedule, 0).period]
    orders: list[DatedOrder] = []
    for order, thousandth, at_once in asked:
        last, n = opened[-1], len(opened) - 1
        within = last.start + (last.end - last.start) * thousandth / 1000
        table = Timetable((base, *planned(base, orders, dict(enumerate(map(_start, opened))))))
        moves = changes_schedule(table.segment_of(n).schedule, order)
        cuts = at_once and within > last.start and moves
        orders.append(DatedOrder(within if cuts else last.end, order, n if cuts else None))
        known = dict(enumerate(map(_start, opened)))
        table = Timetable((base, *planned(base, orders, known)))
        following = table.nth(n + 1)
        assert following.period.start == (within if cuts else last.end)
        assert 0 < following.part <= following.whole
        opened.append(following.period)
    ends = Timetable((base, *planned(base, orders, dict(enumerate(map(_start, opened))))))
    for n in range(len(opened) - 1, len(opened) + 30):
        assert ends.nth(n).period.end == ends.nth(n + 1).period.start
        assert ends.number_containing(ends.nth(n).period.start) == n


def _start(period: Period) -> datetime:
    return period.start
