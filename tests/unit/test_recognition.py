"""When deferred revenue is earned: tables of dates, and what holds for all of them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.rules.periods import Period
from billing.rules.recognition import Mode, RecognitionStep, Service, first_at, step


def at(moment: str) -> datetime:
    return datetime.fromisoformat(moment).replace(tzinfo=UTC)


def service(start: str, end: str, zone: str = "UTC") -> Service:
    return Service(Period(at(start), at(end)), zone)


JANUARY = service("2026-01-01", "2026-02-01")

# left, mode, last, now -> amount, through, next
STEPS: list[tuple[int, Mode, str | None, str, tuple[int, str | None, str | None]]] = [
    (3100, "period_end", None, "2026-01-31 23:59", (0, None, "2026-02-01")),
    (3100, "period_end", None, "2026-02-01", (3100, "2026-02-01", None)),
    (3100, "period_end", None, "2026-05-09 10:00", (3100, "2026-02-01", None)),
    (3100, "daily", None, "2026-01-01 23:59", (0, None, "2026-01-02")),
    (3100, "daily", None, "2026-01-02", (100, "2026-01-02", "2026-01-03")),
    (3100, "daily", None, "2026-01-11 07:00", (1000, "2026-01-11", "2026-01-12")),
    (2100, "daily", "2026-01-11", "2026-01-11 22:00", (0, None, "2026-01-12")),
    (2100, "daily", "2026-01-11", "2026-01-12", (100, "2026-01-12", "2026-01-13")),
    (1050, "daily", "2026-01-11", "2026-01-12", (50, "2026-01-12", "2026-01-13")),  # refunded
    (2100, "daily", "2026-01-11", "2026-02-01", (2100, "2026-02-01", None)),
    # what doesn't divide goes to the first days
    (33, "daily", None, "2026-01-02", (2, "2026-01-02", "2026-01-03")),
    (33, "daily", None, "2026-01-04", (5, "2026-01-04", "2026-01-05")),
    (3, "daily", None, "2026-01-04", (3, "2026-01-04", None)),
    # a single minor unit is earned like any other
    (1, "daily", None, "2026-01-02", (1, "2026-01-02", None)),
    (1, "period_end", None, "2026-01-31", (0, None, "2026-02-01")),
    (1, "period_end", None, "2026-02-01", (1, "2026-02-01", None)),
    # nothing is left, and what comes back after the end is earned at once
    (0, "daily", "2026-01-11", "2026-01-12", (0, None, None)),
    (500, "period_end", "2026-02-01", "2026-02-07 09:00", (500, "2026-02-07 09:00", None)),
    (500, "daily", "2026-02-01", "2026-02-01", (500, "2026-02-01 00:00:00.000001", None)),
]


@pytest.mark.parametrize(("left", "mode", "last", "now", "expected"), STEPS)
def test_what_is_earned_by_an_instant(
    left: int,
    mode: Mode,
    last: str | None,
    now: str,
    expected: tuple[int, str | None, str | None],
) -> None:
    done = step(left, JANUARY, mode, last=at(last) if last else None, now=at(now))

    amount, through, next_at = expected
    assert done == RecognitionStep(
        amount, at(through) if through else None, at(next_at) if next_at else None
    )


@pytest.mark.parametrize(
    ("zone", "start", "now", "days"),
    [
        # a period that starts at 10:00 earns its first day at the midnight after
        ("UTC", "2026-01-01 10:00", "2026-01-01 23:59", 0),
        ("UTC", "2026-01-01 10:00", "2026-01-02 00:00", 1),
        # Auckland is 13 hours ahead: its midnight is 11:00 UTC of the day before
        ("Pacific/Auckland", "2025-12-31 11:00", "2026-01-01 10:59", 0),
        ("Pacific/Auckland", "2025-12-31 11:00", "2026-01-01 11:00", 1),
        # New York is 5 hours behind, 4 in summer
        ("America/New_York", "2026-01-01 05:00", "2026-01-02 04:59", 0),
        ("America/New_York", "2026-01-01 05:00", "2026-01-02 05:00", 1),
    ],
)
def test_days_are_those_of_the_zone(zone: str, start: str, now: str, days: int) -> None:
    period = Period(at(start), at(start) + timedelta(days=31))

    assert step(3100, Service(period, zone), "daily", last=None, now=at(now)).amount == days * 100


def test_the_day_on_which_the_clocks_change_is_one_day() -> None:
    """Berlin, 2026-03-29: 23 hours. April has 30 days, and each earns the same."""
    march = Service(Period(at("2026-02-28 23:00"), at("2026-03-31 22:00")), "Europe/Berlin")

    earned = [
        step(3100, march, "daily", last=None, now=at(now)).amount
        for now in ("2026-03-28 23:00", "2026-03-29 21:59", "2026-03-29 22:00")
    ]

    assert earned == [2800, 2800, 2900]


def test_a_period_within_one_day_is_earned_at_its_end() -> None:
    hours = service("2026-01-01 10:00", "2026-01-01 14:00")

    assert step(100, hours, "daily", last=None, now=at("2026-01-01 12:00")) == RecognitionStep(
        0, None, at("2026-01-01 14:00")
    )
    assert step(100, hours, "daily", last=None, now=at("2026-01-01 14:00")).amount == 100


def test_an_invoice_is_looked_at_first_when_something_may_be_earned() -> None:
    assert first_at(JANUARY, "period_end") == at("2026-02-01")
    assert first_at(JANUARY, "daily") == at("2026-01-02")
    assert first_at(service("2026-01-01 10:00", "2026-01-01 14:00"), "daily") == at(
        "2026-01-01 14:00"
    )


instants = st.integers(0, 60 * 24).map(lambda hours: at("2026-01-01") + timedelta(hours=hours))


@given(st.integers(0, 10**9), st.lists(instants).map(sorted))
def test_however_often_it_runs_the_same_is_earned_by_each_instant(
    net: int, runs: list[datetime]
) -> None:
    left, last = net, None
    for now in runs:
        done = step(left, JANUARY, "daily", last=last, now=now)
        assert (done.amount == 0) == (done.through is None)
        assert done.next_at is None or done.next_at > now
        left, last = left - done.amount, done.through or last
        at_once = step(net, JANUARY, "daily", last=None, now=now)
        assert net - left == at_once.amount
    assert 0 <= left <= net
    end = JANUARY.period.end
    rest = step(left, JANUARY, "daily", last=last, now=max(end, *runs) if runs else end)
    assert rest.amount == left
    assert rest.next_at is None
