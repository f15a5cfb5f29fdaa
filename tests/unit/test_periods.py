"""Periods: tables of dates from other engines, and what must hold for every schedule."""

import time
from calendar import monthrange
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from billing.plans.terms import UNITS, Cadence
from billing.rules.periods import (
    Anchor,
    NotStarted,
    Period,
    Schedule,
    ScheduleError,
    civil_days_between,
    later,
    nth,
    nth_from,
    number_containing,
    service_days,
    to_local,
    to_utc,
)

MONTHLY = Cadence(1, "month")
YEARLY = Cadence(1, "year")


# -- dates that other engines agree on ---------------------------------------------------


@pytest.mark.parametrize(
    ("anchor", "every", "expected"),
    [
        # S1, S2: docs.stripe.com/billing/subscriptions/billing-cycle
        ("2025-01-31", "1 month", ["2025-02-28", "2025-03-31", "2025-04-30"]),
        ("2024-01-31", "1 month", ["2024-02-29", "2024-03-31", "2024-04-30"]),
        # F1, F2, F4, F7: flexprice internal/types/date_test.go
        ("2024-01-31", "1 month", ["2024-02-29"]),
        ("2024-01-15", "1 month", ["2024-02-15"]),
        ("2024-12-31", "2 months", ["2025-02-28"]),
        ("2024-02-29", "12 months", ["2025-02-28"]),
        ("2024-02-29", "1 year", ["2025-02-28", "2026-02-28", "2027-02-28", "2028-02-29"]),
        ("2024-02-26", "2 weeks", ["2024-03-11", "2024-03-25", "2024-04-08"]),
        ("2024-02-28", "1 day", ["2024-02-29", "2024-03-01"]),
        ("2023-11-30", "3 months", ["2024-02-29", "2024-05-30"]),
    ],
)
def test_boundaries_follow_the_anchor(anchor: str, every: str, expected: list[str]) -> None:
    schedule = Schedule(at(anchor), Cadence.parse(every))

    found = [nth(schedule, n + 1).period.start.date() for n in range(len(expected))]

    assert [str(day) for day in found] == expected


@pytest.mark.parametrize(
    ("anchor", "months", "billed", "not_billed"),
    [
        # LB1, LB3, LB7: lago-api spec/services/subscriptions/organization_billing_service_spec.rb
        ("2021-03-31", 1, ["2023-02-28", "2024-02-29", "2023-04-30", "2023-01-31"], []),
        ("2021-05-30", 3, ["2023-02-28", "2024-02-29", "2023-11-30", "2023-08-30"], ["2023-08-31"]),
        ("2020-02-29", 12, ["2023-02-28", "2024-02-29", "2030-02-28"], []),
    ],
)
def test_billing_days_years_later(
    anchor: str, months: int, billed: list[str], not_billed: list[str]
) -> None:
    schedule = Schedule(at(anchor), Cadence(months, "month"))

    days = {str(nth(schedule, n).period.start.date()) for n in range(150)}

    assert days >= set(billed)
    assert not days & set(not_billed)


@pytest.mark.parametrize(
    ("start", "target", "anchor_day", "expected"),
    [
        # M1, M2, M4: meteroid modules/meteroid/crates/meteroid-store/src/utils/periods.rs
        ("2024-01-31", "2024-02-15", 31, ("2024-01-31", "2024-02-29")),
        ("2024-01-31", "2024-02-29", 31, ("2024-02-29", "2024-03-31")),
        ("2024-01-01", "2024-01-05", 10, ("2024-01-01", "2024-01-10")),
        # O1, O3: openmeter pkg/timeutil/recurrence_test.go
        ("2025-01-31T15:00", "2025-08-13", None, ("2025-07-31", "2025-08-31")),
        ("2025-01-30T15:00", "2025-02-13", None, ("2025-01-30", "2025-02-28")),
    ],
)
def test_the_period_that_contains_a_day(
    start: str, target: str, anchor_day: int | None, expected: tuple[str, str]
) -> None:
    schedule = Schedule(at(start), MONTHLY, anchor_day=anchor_day)
    n = number_containing(schedule, datetime.fromisoformat(target).replace(tzinfo=UTC))

    period = nth(schedule, n).period

    assert (str(period.start.date()), str(period.end.date())) == expected


def test_an_instant_on_a_boundary_belongs_to_the_period_that_starts_there() -> None:
    """O2: openmeter pkg/timeutil/recurrence_test.go, a target exactly on the boundary."""
    schedule = Schedule(at("2025-01-31T15:00"), MONTHLY)
    start = datetime(2025, 7, 31, 15, tzinfo=UTC)

    assert nth(schedule, number_containing(schedule, start)).period.start == start
    assert number_containing(schedule, start - timedelta(microseconds=1)) == 5


def test_three_cycles_from_a_month_end_are_three() -> None:
    """P10: github.com/polarsource/polar/issues/13769, a day too short granted two of three."""
    schedule = Schedule(at("2025-01-31"), MONTHLY)
    first = number_containing(schedule, datetime(2025, 2, 28, tzinfo=UTC))

    starts = [nth(schedule, first + n).period.start for n in range(3)]

    assert [str(start.date()) for start in starts] == ["2025-02-28", "2025-03-31", "2025-04-30"]


def test_service_periods_end_the_day_before_the_next_one() -> None:
    """LS1: lago-api spec/scenarios/subscriptions/billing_boundaries_spec.rb."""
    schedule = Schedule(at("2024-01-31T01:00"), MONTHLY)

    printed = [service_days(nth(schedule, n).period, "UTC") for n in range(3)]

    assert [(str(first), str(last)) for first, last in printed] == [
        ("2024-01-31", "2024-02-28"), ("2024-02-29", "2024-03-30"), ("2024-03-31", "2024-04-29"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("start", "end", "zone", "printed"),
    [
        ("2024-03-01T09:00", "2024-03-01T15:00", "UTC", ("2024-03-01", "2024-03-01")),
        ("2024-03-01", "2024-03-02", "UTC", ("2024-03-01", "2024-03-01")),
        ("2024-03-01", "2024-03-01T23:59", "UTC", ("2024-03-01", "2024-03-01")),
        ("2024-03-01T18:00", "2024-03-02T18:00", "UTC", ("2024-03-01", "2024-03-01")),
        ("2024-03-01T18:00", "2024-03-03T01:00", "UTC", ("2024-03-01", "2024-03-02")),
        ("2024-03-01T16:00", "2024-03-02T14:00", "Asia/Tokyo", ("2024-03-02", "2024-03-02")),
        ("2024-03-01T14:00", "2024-03-02T14:59", "Asia/Tokyo", ("2024-03-01", "2024-03-01")),
    ],
)
def test_a_period_never_ends_before_its_first_day(
    start: str, end: str, zone: str, printed: tuple[str, str]
) -> None:
    first, last = service_days(Period(local(start, "UTC"), local(end, "UTC")), zone)

    assert (str(first), str(last)) == printed


@pytest.mark.parametrize(
    ("start", "cadence", "anchor_day", "expected"),
    [
        # K1, K3: killbill invoice TestInAdvanceBillingIntervalDetail.java
        ("2012-01-16", YEARLY, 17, "2012-01-17"),
        ("2012-01-16", MONTHLY, 17, "2012-01-17"),
        ("2012-01-31", YEARLY, 30, "2013-01-30"),
        ("2012-01-31", MONTHLY, 30, "2012-02-29"),
        ("2012-02-29", MONTHLY, 31, "2012-02-29"),  # the last day is the 31st of February
        ("2012-03-01", MONTHLY, 1, "2012-03-01"),
    ],
)
def test_the_first_billing_date_of_an_aligned_subscription(
    start: str, cadence: Cadence, anchor_day: int, expected: str
) -> None:
    schedule = Schedule(at(start), cadence, anchor_day=anchor_day)
    first = nth(schedule, 0)

    aligned = first.period.start if start == expected else first.period.end
    assert str(aligned.date()) == expected
    assert (first.part == first.whole) is (start == expected)


@pytest.mark.parametrize(
    ("start", "cadence", "anchor_day", "stub", "share"),
    [
        # LM1: lago-api spec/scenarios/subscriptions/multiple_upgrade_spec.rb
        ("2024-03-05", MONTHLY, 1, ("2024-03-05", "2024-04-01"), (27, 31)),
        # KB1: killbill beatrix TestIntegration.java
        ("2012-03-02", MONTHLY, 31, ("2012-03-02", "2012-03-31"), (29, 31)),
        ("2012-01-16", YEARLY, 17, ("2012-01-16", "2012-01-17"), (1, 365)),
        ("2012-01-31", YEARLY, 30, ("2012-01-31", "2013-01-30"), (365, 366)),
        ("2024-01-01", MONTHLY, 10, ("2024-01-01", "2024-01-10"), (9, 31)),
        ("2024-03-31T23:59", MONTHLY, 1, ("2024-03-31", "2024-04-01"), (1, 31)),
        ("2024-03-15", Cadence(3, "month"), 1, ("2024-03-15", "2024-06-01"), (78, 92)),
        # billed for all of its days: no stub to speak of
        ("2024-03-01", MONTHLY, 1, ("2024-03-01", "2024-04-01"), (1, 1)),
        ("2024-03-01T18:00", MONTHLY, 1, ("2024-03-01", "2024-04-01"), (1, 1)),
    ],
)
def test_the_stub_before_the_first_aligned_boundary(
    start: str, cadence: Cadence, anchor_day: int, stub: tuple[str, str], share: tuple[int, int]
) -> None:
    first = nth(Schedule(at(start), cadence, anchor_day=anchor_day), 0)

    assert (str(first.period.start.date()), str(first.period.end.date())) == stub
    assert (first.part, first.whole) == share
    assert (first.n, first.kind) == (0, "regular")


def test_a_period_starts_when_it_was_announced_to_and_ends_by_the_schedule_of_today() -> None:
    london = Schedule(Anchor(datetime(2026, 1, 1), "Europe/London"), MONTHLY)  # noqa: DTZ001
    by_schedule = nth(london, 1)
    assert nth_from(london, 1, by_schedule.period.start) == by_schedule

    hour = timedelta(hours=1)
    for start in (by_schedule.period.start - hour, by_schedule.period.start + hour):
        announced = nth_from(london, 1, start)
        assert announced.period == Period(start, by_schedule.period.end)
        assert (announced.n, announced.kind) == (1, "regular")

    late = by_schedule.period.end + hour
    assert nth_from(london, 1, late).period == Period(late, nth(london, 2).period.end)
    assert nth_from(london, 1, by_schedule.period.end).period == nth(london, 2).period


def test_a_day_with_a_missing_hour_is_a_day() -> None:
    """FX2: flexprice internal/domain/proration/calculator_test.go."""
    zone = "America/New_York"
    start, end = local("2024-03-09", zone), local("2024-03-11", zone)

    assert end - start == timedelta(hours=47)
    assert civil_days_between(start, end, zone) == 2


def test_a_trial_over_a_change_of_the_clocks_keeps_the_billing_day() -> None:
    """K743: github.com/killbill/killbill/issues/743, 30 days from 2017-03-01 23:30 -08:00."""
    zone = "America/Los_Angeles"
    schedule = Schedule(at("2017-03-01T23:30", zone), MONTHLY, trial=Cadence(30, "day"))

    starts = [to_local(nth(schedule, n).period.start, zone) for n in (1, 2, 3)]

    assert [str(start) for start in starts] == [
        "2017-03-31 23:30:00", "2017-04-30 23:30:00", "2017-05-31 23:30:00",
    ]  # fmt: skip
    assert [(nth(schedule, n).n, nth(schedule, n).kind) for n in (0, 1, 2)] == [
        (0, "trial"), (1, "regular"), (2, "regular"),
    ]  # fmt: skip


# -- the two changes of the clocks ----------------------------------------------------------


@pytest.mark.parametrize(
    ("civil", "zone", "utc"),
    [
        ("2024-03-10T02:30", "America/New_York", "2024-03-10T07:30"),  # skipped: 03:30 EDT
        ("2024-11-03T01:30", "America/New_York", "2024-11-03T05:30"),  # twice: the first, EDT
        ("2024-04-26T00:00", "Africa/Cairo", "2024-04-25T22:00"),  # midnight skipped: 01:00
        ("2024-09-08T00:00", "America/Santiago", "2024-09-08T04:00"),
        ("2024-10-06T02:15", "Australia/Lord_Howe", "2024-10-05T15:45"),  # half an hour skipped
        ("2011-12-30T12:00", "Pacific/Apia", "2011-12-30T22:00"),  # a day skipped
        ("2024-01-31T12:00", "Asia/Kolkata", "2024-01-31T06:30"),
    ],
)
def test_civil_time_becomes_an_instant(civil: str, zone: str, utc: str) -> None:
    assert local(civil, zone) == datetime.fromisoformat(utc).replace(tzinfo=UTC)


def test_an_instant_is_in_utc_on_a_machine_in_another_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        with monkeypatch.context() as moved:
            moved.setenv("TZ", "Asia/Tokyo")
            time.tzset()
            instant = to_utc(datetime(2024, 1, 31, 12), "Asia/Kolkata")  # noqa: DTZ001
    finally:
        time.tzset()

    assert (instant.tzinfo, instant.isoformat()) == (UTC, "2024-01-31T06:30:00+00:00")


def test_a_civil_time_that_happens_twice_is_the_first_whoever_says_otherwise() -> None:
    second = datetime(2024, 11, 3, 1, 30, fold=1)  # noqa: DTZ001 - civil time

    assert to_utc(second, "America/New_York").isoformat() == "2024-11-03T05:30:00+00:00"


def test_a_clock_shows_the_same_civil_time_twice() -> None:
    shown = [
        to_local(datetime(2024, 11, 3, hour, 30, tzinfo=UTC), "America/New_York") for hour in (5, 6)
    ]

    assert [(civil.isoformat(), civil.fold) for civil in shown] == [("2024-11-03T01:30:00", 0)] * 2


def test_a_skipped_billing_hour_moves_one_day_only() -> None:
    schedule = Schedule(at("2024-03-09T02:30", "America/New_York"), Cadence(1, "day"))

    shown = [to_local(nth(schedule, n).period.start, "America/New_York") for n in range(3)]

    assert [f"{start:%d %H:%M}" for start in shown] == ["09 02:30", "10 03:30", "11 02:30"]


def test_a_day_that_a_zone_left_out_is_not_billed() -> None:
    """Samoa crossed the date line: after Thursday 2011-12-29 came Saturday 2011-12-31."""
    schedule = Schedule(at("2011-12-28", "Pacific/Apia"), Cadence(1, "day"))

    periods = [nth(schedule, n).period for n in range(4)]

    shown = [str(to_local(period.start, "Pacific/Apia").date()) for period in periods]
    assert shown == ["2011-12-28", "2011-12-29", "2011-12-31", "2012-01-01"]
    assert {period.end - period.start for period in periods} == {timedelta(days=1)}


def test_a_week_over_the_date_line_keeps_its_weekday_and_is_a_day_shorter() -> None:
    """Monday 2011-12-26 is followed by Monday 2012-01-02, six days later in Samoa."""
    schedule = Schedule(at("2011-12-26", "Pacific/Apia"), Cadence(1, "week"))

    periods = [nth(schedule, n).period for n in range(2)]

    shown = [str(to_local(period.start, "Pacific/Apia").date()) for period in periods]
    assert shown == ["2011-12-26", "2012-01-02"]
    assert [period.end - period.start for period in periods] == [
        timedelta(days=6), timedelta(days=7),
    ]  # fmt: skip


# -- what holds for every schedule ----------------------------------------------------------

ZONES = [
    "UTC", "Africa/Cairo", "America/Santiago", "Australia/Lord_Howe", "Pacific/Apia",
    "America/New_York", "Asia/Kolkata", "Europe/London", "Pacific/Kiritimati", "Asia/Tehran",
    "Pacific/Chatham", "America/St_Johns", "Africa/Casablanca", "Antarctica/Troll",
    "America/Nuuk",
]  # fmt: skip

anchors = st.builds(
    Anchor,
    st.datetimes(datetime(1990, 1, 1), datetime(2040, 12, 31)),  # noqa: DTZ001 - civil time
    st.sampled_from(ZONES),
)
cadences = st.builds(Cadence, st.integers(1, 13), st.sampled_from(UNITS))
days_of_month = st.integers(1, 31)
trials = st.none() | st.builds(Cadence, st.integers(1, 60), st.sampled_from(UNITS[:3]))


def test_a_grid_of_two_years_begins_in_the_last_anchored_month_before_the_start() -> None:
    schedule = Schedule(at("2026-01-15"), Cadence(2, "year"), anchor_day=1, anchor_month=3)

    ends = [str(nth(schedule, n).period.end.date()) for n in range(2)]

    assert ends == ["2027-03-01", "2029-03-01"]


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    cadence = draw(cadences)
    months = cadence.unit in ("month", "year")
    anchor_day = draw(st.none() | days_of_month) if months else None
    anchor_month = draw(st.none() | st.integers(1, 12)) if anchor_day else None
    weekday = draw(st.none() | st.integers(1, 7)) if cadence.unit == "week" else None
    return Schedule(draw(anchors), cadence, draw(trials), anchor_day, anchor_month, weekday)


aligned_schedules = st.builds(
    Schedule,
    anchors,
    st.builds(Cadence, st.integers(1, 13), st.sampled_from(["month", "year"])),
    trials,
    days_of_month,
)


@given(schedules(), st.integers(0, 300))
def test_neighbours_share_their_boundary_and_go_forward(schedule: Schedule, n: int) -> None:
    here, there = nth(schedule, n).period, nth(schedule, n + 1).period

    assert here.start < here.end == there.start < there.end


@given(schedules(), st.integers(0, 300))
def test_a_period_has_its_number_and_only_the_first_can_be_a_trial(
    schedule: Schedule, n: int
) -> None:
    kind = "trial" if n == 0 and schedule.trial is not None else "regular"

    assert (nth(schedule, n).n, nth(schedule, n).kind) == (n, kind)


@given(schedules())
def test_the_first_period_starts_on_the_anchor(schedule: Schedule) -> None:
    assert nth(schedule, 0).period.start == to_utc(schedule.anchor.local, schedule.anchor.zone)


@given(schedules(), st.integers(0, 300), st.floats(0, 1, exclude_max=True))
def test_the_period_of_an_instant_is_found(schedule: Schedule, n: int, share: float) -> None:
    period = nth(schedule, n).period
    inside = period.start + (period.end - period.start) * share

    assert number_containing(schedule, min(inside, period.end - timedelta(microseconds=1))) == n


@given(schedules())
def test_the_whole_first_years_tile_day_by_day(schedule: Schedule) -> None:
    periods = [nth(schedule, n).period for n in range(40)]

    assert all(before.end == after.start for before, after in pairwise(periods))


@given(anchors, st.integers(1, 13), st.sampled_from(["month", "year"]), st.integers(0, 200))
def test_no_billing_day_drifts(anchor: Anchor, count: int, unit: str, n: int) -> None:
    """Each one is the anchor's day, or the last of a month that is too short for it."""
    cadence = Cadence(count, "month" if unit == "month" else "year")
    start = nth(Schedule(anchor, cadence), n).period.start
    shown = to_local(start, anchor.zone)
    assume(_exists(shown, anchor))  # moved out of a gap: another test

    months = n * count * (1 if unit == "month" else 12)
    month = anchor.local.year * 12 + anchor.local.month - 1 + months
    assert (shown.year * 12 + shown.month - 1, shown.time()) == (month, anchor.local.time())
    last_day = (shown + timedelta(days=1)).month != shown.month
    assert shown.day == anchor.local.day or (shown.day < anchor.local.day and last_day)


@given(schedules(), st.integers(0, 60))
def test_a_stub_costs_less_than_a_period_and_only_the_first_is_one(
    schedule: Schedule, n: int
) -> None:
    scheduled = nth(schedule, n)
    first_regular = 0 if schedule.trial is None else 1

    assert 0 < scheduled.part <= scheduled.whole
    if schedule.grid is None or n != first_regular:
        assert (scheduled.part, scheduled.whole) == (1, 1)


@given(aligned_schedules, st.integers(1, 200))
def test_aligned_periods_start_on_their_day_at_midnight(schedule: Schedule, n: int) -> None:
    shown = to_local(nth(schedule, n + 1).period.start, schedule.anchor.zone)
    assume(_exists(datetime.combine(shown.date(), datetime.min.time()), schedule.anchor))

    assert shown.time() == datetime.min.time()
    last_day = (shown + timedelta(days=1)).month != shown.month
    assert shown.day == schedule.anchor_day or last_day


@given(anchors, st.integers(1, 9), trials, st.integers(1, 7), st.integers(1, 200))
def test_weeks_that_are_aligned_start_on_their_weekday_at_midnight(
    anchor: Anchor, count: int, trial: Cadence | None, weekday: int, n: int
) -> None:
    schedule = Schedule(anchor, Cadence(count, "week"), trial, anchor_weekday=weekday)
    shown = to_local(nth(schedule, n + 1).period.start, anchor.zone)
    assume(_exists(datetime.combine(shown.date(), datetime.min.time()), anchor))

    assert (shown.isoweekday(), shown.time()) == (weekday, datetime.min.time())


@given(
    anchors,
    st.sampled_from([2, 3, 4, 6, 12, 24]),
    trials,
    days_of_month,
    st.integers(1, 12),
    st.integers(1, 100),
)
def test_months_that_are_aligned_start_in_the_anchors_month_and_every_cadence_from_it(
    anchor: Anchor, months: int, trial: Cadence | None, day: int, month: int, n: int
) -> None:
    schedule = Schedule(anchor, Cadence(months, "month"), trial, day, month)
    shown = to_local(nth(schedule, n + 1).period.start, anchor.zone)
    assume(_exists(datetime.combine(shown.date(), datetime.min.time()), anchor))

    assert (shown.month - month) % min(months, 12) == 0
    assert shown.day == min(day, monthrange(shown.year, shown.month)[1])


@pytest.mark.parametrize(
    ("start", "schedule", "stub", "share", "next_end"),
    [
        # calendar quarters and years
        ("2026-02-10", (Cadence(3, "month"), 1, 1, None), "2026-04-01", (50, 90), "2026-07-01"),
        ("2026-01-01", (Cadence(3, "month"), 1, 1, None), "2026-04-01", (1, 1), "2026-07-01"),
        ("2026-12-31", (Cadence(3, "month"), 1, 1, None), "2027-01-01", (1, 92), "2027-04-01"),
        ("2026-02-10", (YEARLY, 1, 1, None), "2027-01-01", (325, 365), "2028-01-01"),
        # a year that begins on April 6
        ("2026-04-05", (YEARLY, 6, 4, None), "2026-04-06", (1, 365), "2027-04-06"),
        ("2026-04-07", (YEARLY, 6, 4, None), "2027-04-06", (364, 365), "2028-04-06"),
        # 2026-01-01 is a Thursday
        ("2026-01-01", (Cadence(1, "week"), None, None, 1), "2026-01-05", (4, 7), "2026-01-12"),
        ("2026-01-05", (Cadence(1, "week"), None, None, 1), "2026-01-12", (1, 1), "2026-01-19"),
        ("2026-01-01", (Cadence(2, "week"), None, None, 3), "2026-01-14", (13, 14), "2026-01-28"),
    ],
)
def test_the_stub_before_the_calendars_first_boundary(
    start: str,
    schedule: tuple[Cadence, int | None, int | None, int | None],
    stub: str,
    share: tuple[int, int],
    next_end: str,
) -> None:
    cadence, day, month, weekday = schedule
    aligned = Schedule(at(start), cadence, None, day, month, weekday)
    first, second = nth(aligned, 0), nth(aligned, 1)

    assert (str(first.period.end.date()), (first.part, first.whole)) == (stub, share)
    assert second.period.start == first.period.end
    assert (str(second.period.end.date()), second.part, second.whole) == (next_end, 1, 1)


@given(st.integers(0, 5000))
def test_a_period_far_out_costs_no_more_steps_than_the_first(n: int) -> None:
    """There is nothing to remember: the n-th period doesn't depend on having seen the others."""
    schedule = Schedule(at("2024-01-31", "Europe/London"), MONTHLY)
    year, month = 2024 + n // 12, n % 12 + 1
    last = monthrange(year, month)[1]

    assert nth(schedule, n).period.start == local(f"{year}-{month:02}-{last}", "Europe/London")


# -- shares, ladders, refusals --------------------------------------------------------------


def test_a_step_of_days_keeps_the_time_of_day() -> None:
    zone = "America/New_York"

    moved = later(local("2024-03-09T10:00", zone), Cadence(3, "day"), zone)

    assert to_local(moved, zone).isoformat() == "2024-03-12T10:00:00"


def test_the_last_period_before_the_end_of_the_calendar_has_a_number() -> None:
    schedule = Schedule(at("9980-01-01"), Cadence(13, "year"))

    assert number_containing(schedule, datetime(9981, 1, 1, tzinfo=UTC)) == 0
    with pytest.raises(ScheduleError, match="beyond the calendar"):
        nth(schedule, 1)


def test_an_instant_before_the_first_period_has_no_number() -> None:
    with pytest.raises(NotStarted):
        number_containing(Schedule(at("2024-01-31"), MONTHLY), datetime(2024, 1, 30, tzinfo=UTC))


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "America", "../etc/passwd", "UTC "])
def test_an_unknown_zone_is_refused(zone: str) -> None:
    with pytest.raises(ScheduleError, match="not an IANA time zone"):
        at("2024-01-31", zone)


def test_schedules_that_can_not_be_counted_are_refused() -> None:
    with pytest.raises(ScheduleError, match="months or years"):
        Schedule(at("2024-01-31"), Cadence(2, "week"), anchor_day=1)
    with pytest.raises(ScheduleError, match="day of the month"):
        Schedule(at("2024-01-31"), MONTHLY, anchor_day=32)
    for day, month in ((None, 1), (1, 13)):
        with pytest.raises(ScheduleError, match="a month from 1 to 12"):
            Schedule(at("2024-01-31"), YEARLY, None, day, month)
    for cadence, weekday in ((MONTHLY, 1), (Cadence(1, "week"), 8)):
        with pytest.raises(ScheduleError, match="for weeks"):
            Schedule(at("2024-01-31"), cadence, anchor_weekday=weekday)
    with pytest.raises(ScheduleError, match="without an offset"):
        Anchor(datetime(2024, 1, 31, tzinfo=UTC), "UTC")
    with pytest.raises(ScheduleError, match="beyond the calendar"):
        nth(Schedule(at("2024-01-31"), YEARLY), 9000)
    with pytest.raises(ValueError, match="counted forward"):
        nth(Schedule(at("2024-01-31"), MONTHLY), -1)


def test_a_period_is_in_utc_and_not_empty() -> None:
    noon = datetime(2024, 1, 31, 12, tzinfo=UTC)

    with pytest.raises(ValueError, match="empty"):
        Period(noon, noon)
    with pytest.raises(ValueError, match="UTC"):
        Period(noon.replace(tzinfo=None), noon)
    with pytest.raises(ValueError, match="UTC"):
        Period(noon, datetime(2024, 2, 1, tzinfo=ZoneInfo("Europe/London")))
    utc_by_name = noon.astimezone(ZoneInfo("UTC"))
    assert Period(utc_by_name, utc_by_name + timedelta(days=1)) == Period(
        noon, noon + timedelta(days=1)
    )
    assert noon in Period(noon, noon + timedelta(days=1))
    assert noon + timedelta(days=1) not in Period(noon, noon + timedelta(days=1))


def at(civil: str, zone: str = "UTC") -> Anchor:
    return Anchor(datetime.fromisoformat(civil), zone)


def local(civil: str, zone: str) -> datetime:
    return to_utc(datetime.fromisoformat(civil), zone)


def _exists(civil: datetime, anchor: Anchor) -> bool:
    """Say whether both the time shown and the one asked for are on the zone's clocks."""
    asked = civil.replace(
        hour=anchor.local.hour, minute=anchor.local.minute, second=anchor.local.second,
        microsecond=anchor.local.microsecond,
    )  # fmt: skip
    return all(to_local(to_utc(time, anchor.zone), anchor.zone) == time for time in (civil, asked))
