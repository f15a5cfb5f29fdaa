"""Segments: from which number on which schedule gives a subscription's periods. Pure.

A subscription has one segment from number 0 on, until its cadence, its billing day or its zone is
changed. A segment begins where the one before it ends: at the end of a period, or where a cycle is
cut.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Self

from billing.rules.periods import (
    Period,
    Schedule,
    ScheduledPeriod,
    civil_days_between,
    nth,
    number_containing,
    schedule_of,
)


@dataclass(frozen=True, slots=True)
class Segment:
    """The schedule from period `from_n` on.

    That one starts at `starts_at`, which needn't be a boundary of the schedule; without it, at the
    schedule's first.
    """

    from_n: int
    starts_at: datetime | None
    schedule: Schedule

    def nth(self, n: int) -> ScheduledPeriod:
        """Return the n-th period of the subscription by this segment."""
        scheduled = nth(self.schedule, n - self.from_n)
        scheduled = replace(scheduled, n=n) if self.from_n else scheduled
        at = self.starts_at
        if n != self.from_n or at is None or at == scheduled.period.start:
            return scheduled
        return _begun_at(scheduled, at, self.schedule.anchor.zone)

    @property
    def start(self) -> datetime:
        """When it begins."""
        return self.starts_at or self.nth(self.from_n).period.start

    def number_containing(self, at: datetime) -> int:
        """Return the number of the period that contains an instant. Raises: NotStarted."""
        first = self.nth(self.from_n).period
        if at in first:
            return self.from_n
        return self.from_n + number_containing(self.schedule, at)

    def columns(self) -> dict[str, Any]:
        """Return its schedule as columns of a row have it."""
        schedule = self.schedule
        return {
            "anchor_local": schedule.anchor.local,
            "zone": schedule.anchor.zone,
            "every": str(schedule.cadence),
            "trial": None if schedule.trial is None else str(schedule.trial),
            "anchor_day": schedule.anchor_day,
            "anchor_month": schedule.anchor_month,
            "anchor_weekday": schedule.anchor_weekday,
            "month_day": schedule.month_day,
        }

    def document(self) -> dict[str, Any]:
        """Return it as JSON-able values."""
        starts_at = None if self.starts_at is None else self.starts_at.isoformat()
        columns = self.columns() | {"anchor_local": self.schedule.anchor.local.isoformat()}
        told = {name: value for name, value in columns.items() if value is not None}
        return {"from_n": self.from_n, "starts_at": starts_at, **told}

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> Self:
        """Read it back. Raises: ValueError, KeyError, TypeError."""
        columns = dict(document)
        from_n, at = columns.pop("from_n"), columns.pop("starts_at")
        columns["anchor_local"] = datetime.fromisoformat(columns["anchor_local"])
        starts_at = None if at is None else datetime.fromisoformat(at)
        schedule = schedule_of(**{**_ABSENT, **columns})
        return cls(from_n, starts_at, schedule)


_ABSENT: Final[Mapping[str, None]] = {"trial": None, "anchor_day": None}


def _begun_at(scheduled: ScheduledPeriod, at: datetime, zone: str) -> ScheduledPeriod:
    """Return a first period that starts elsewhere than its schedule has it.

    It costs its civil days of those that the whole period has; one that is longer costs no more.
    """
    start, end = scheduled.period.start, scheduled.period.end
    part, whole = scheduled.part, scheduled.whole
    if part == whole:
        part = whole = civil_days_between(start, end, zone)
    part = min(part, civil_days_between(at, end, zone))
    share = (1, 1) if part == whole else (part, whole)
    return ScheduledPeriod(scheduled.n, Period(at, end), scheduled.kind, *share)


@dataclass(frozen=True, slots=True)
class Timetable:
    """The segments of a subscription in order: what has begun, and what is to come."""

    segments: tuple[Segment, ...]

    @classmethod
    def of(cls, schedule: Schedule) -> Self:
        """Return the timetable of one schedule from the first period on."""
        return cls((Segment(0, None, schedule),))

    def segment_of(self, n: int) -> Segment:
        """Return the segment that a period is of. Raises: ValueError, before the first segment."""
        found = [segment for segment in self.segments if segment.from_n <= n]
        if not found:
            raise ValueError(f"no segment is known that period {n} is of")
        return found[-1]

    def nth(self, n: int) -> ScheduledPeriod:
        """Return the n-th period."""
        return self.segment_of(n).nth(n)

    def number_containing(self, at: datetime) -> int:
        """Return the number of the period that contains an instant. Raises: NotStarted."""
        begun = [each for each in self.segments[1:] if each.start <= at]
        return (begun[-1] if begun else self.segments[0]).number_containing(at)

    def nth_from(self, n: int, start: datetime) -> ScheduledPeriod:
        """Return the n-th period as it is once it was announced to start at `start`.

        That instant stays when the rules of the zone change afterwards: the period before ends
        there. The period's end follows from the rules of today. Its share stays that of the
        schedule.
        """
        scheduled = self.nth(n)
        if scheduled.period.start == start:
            return scheduled
        end = scheduled.period.end
        if end <= start:
            end = self.nth(self.number_containing(start)).period.end
        return replace(scheduled, period=Period(start, end))
