"""What of an opened period a changed rule of its zone explains."""

from datetime import UTC, datetime, timedelta

import pytest

from billing.rules.periods import schedule_of
from billing.rules.rule_changes import compared
from billing.rules.segments import Timetable

FIRST = datetime(2026, 1, 1)  # noqa: DTZ001  civil time
HOUR = timedelta(hours=1)


def utc(month: int, hours: int = 0) -> datetime:
    return datetime(2026, month, 1, tzinfo=UTC) + hours * HOUR


@pytest.fixture
def monthly() -> Timetable:
    return Timetable.of(schedule_of(FIRST, "UTC", "1 month", None, None, None, None))


def test_periods_that_are_as_scheduled_differ_in_nothing(monthly: Timetable) -> None:
    opened = [(0, utc(1), utc(2)), (1, utc(2), utc(3))]
    assert [each.differs for each in compared(monthly, opened, None)] == [
        False,
        False,
    ]


@pytest.mark.parametrize(("hours", "explained"), [(-24, True), (1, True), (24, True), (25, False)])
@pytest.mark.parametrize("moves", ["start", "end"])
def test_a_rule_moves_an_instant_by_a_day_at_most(
    monthly: Timetable, moves: str, hours: int, *, explained: bool
) -> None:
    start, end = utc(2, hours if moves == "start" else 0), utc(3, hours if moves == "end" else 0)
    (found,) = compared(monthly, [(1, start, end)], None)
    assert (found.differs, found.is_explained) == (True, explained)


def test_what_ended_before_the_rules_changed_is_not_compared(monthly: Timetable) -> None:
    opened = [(0, utc(1, 1), utc(2, 1)), (1, utc(2, 1), utc(3)), (2, utc(3), utc(4))]
    assert [each.n for each in compared(monthly, opened, None) if each.differs] == [
        0,
        1,
    ]
    assert [(each.n, each.differs) for each in compared(monthly, opened, utc(2, 1))] == [
        (1, False),
        (2, False),
    ]
    assert [each.n for each in compared(monthly, opened, utc(3))] == [2]
