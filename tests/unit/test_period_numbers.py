"""Which period contains an instant, at the boundaries of every alignment and cadence."""

from datetime import datetime, timedelta
from itertools import product
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.plans.terms import Cadence
from billing.rules import periods
from billing.rules.periods import Anchor, NotStarted, Schedule, nth, number_containing, to_utc
from tests.unit.test_periods import schedules

TICK = timedelta(microseconds=1)
PERIODS = 14

# In the middle and at the end of a month, in a leap year, and on the days that clocks change.
STARTS = [
    ("2024-01-15", "UTC"),
    ("2023-11-30T18:00", "Asia/Kolkata"),
    ("2024-01-31T23:59", "America/New_York"),
    ("2024-02-29T02:30", "Europe/London"),
    ("2024-03-10T02:30", "America/New_York"),
    ("2011-12-28", "Pacific/Apia"),
]
CADENCES = ["1 day", "3 days", "1 week", "2 weeks", "1 month", "2 months", "13 months", "1 year"]
ALIGNMENTS = [None, 1, 15, 28, 29, 30, 31]
TRIALS = [None, "14 days"]


def schedules_of(alignment: int | None, every: str, trial: str | None) -> list[Schedule]:
    return [
        Schedule(
            Anchor(datetime.fromisoformat(start), zone),
            Cadence.parse(every),
            None if trial is None else Cadence.parse(trial),
            alignment,
        )
        for start, zone in STARTS
    ]


def is_counted(alignment: int | None, every: str) -> bool:
    return alignment is None or "month" in every or "year" in every


@pytest.mark.parametrize(
    ("alignment", "every", "trial"),
    [given for given in product(ALIGNMENTS, CADENCES, TRIALS) if is_counted(*given[:2])],
)
def test_a_boundary_is_in_the_period_that_starts_there_and_the_instant_before_is_not(
    alignment: int | None, every: str, trial: str | None
) -> None:
    for schedule in schedules_of(alignment, every, trial):
        for n in range(PERIODS):
            period = nth(schedule, n).period
            numbers = [
                number_containing(schedule, at)
                for at in (period.start, period.end - TICK, period.end)
            ]
            assert numbers == [n, n, n + 1], f"period {n} of {schedule}"


@pytest.mark.parametrize(
    ("alignment", "every", "trial"),
    [given for given in product(ALIGNMENTS, CADENCES, TRIALS) if is_counted(*given[:2])],
)
def test_the_number_is_estimated_and_corrected_by_a_step_however_far_out(
    alignment: int | None, every: str, trial: str | None
) -> None:
    for schedule in schedules_of(alignment, every, trial):
        for n in (0, 1, 2, 60, 500):
            period = nth(schedule, n).period
            for at in (period.start, period.end - TICK, period.end):
                with patch.object(periods, "nth", wraps=nth) as counted:
                    number_containing(schedule, at)
                assert counted.call_count <= 3, f"period {n} of {schedule}"


@given(schedules(), st.integers(0, 300))
def test_no_schedule_counts_its_boundary_to_the_period_before(schedule: Schedule, n: int) -> None:
    period = nth(schedule, n).period

    assert number_containing(schedule, period.start) == n
    assert number_containing(schedule, period.end - TICK) == n
    assert number_containing(schedule, period.end) == n + 1


@pytest.mark.parametrize(
    ("start", "anchor_day", "at", "n"),
    [
        # The stub ends on the first aligned day, which the civil months passed don't show.
        ("2024-01-15", 31, "2024-01-30T23:59:59", 0),
        ("2024-01-15", 31, "2024-01-31", 1),
        ("2024-01-15", 31, "2024-02-28T23:59:59", 1),
        ("2024-01-15", 31, "2024-02-29", 2),
        ("2024-01-15", 31, "2024-03-31", 3),
        ("2024-01-15", 10, "2024-02-09T23:59:59", 0),
        ("2024-01-15", 10, "2024-02-10", 1),
        ("2024-01-31", None, "2024-02-28T23:59:59", 0),
        ("2024-01-31", None, "2024-02-29", 1),
        ("2024-01-31", None, "2024-03-30T23:59:59", 1),
        ("2024-01-31", None, "2024-03-31", 2),
    ],
)
def test_months_are_counted_from_boundary_to_boundary(
    start: str, anchor_day: int | None, at: str, n: int
) -> None:
    schedule = Schedule(
        Anchor(datetime.fromisoformat(start), "UTC"), Cadence(1, "month"), anchor_day=anchor_day
    )

    assert number_containing(schedule, to_utc(datetime.fromisoformat(at), "UTC")) == n


@given(schedules())
def test_before_the_first_period_there_is_no_number(schedule: Schedule) -> None:
    start = nth(schedule, 0).period.start

    assert number_containing(schedule, start) == 0
    with pytest.raises(NotStarted):
        number_containing(schedule, start - TICK)
