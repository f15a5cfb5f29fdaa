"""Billing periods: pure date arithmetic. No clock, no database.

Every boundary is counted from the anchor, never from the boundary before it, so
an anchor on the 31st bills Jan 31, Feb 28, Mar 31 and does not drift to the 28th.
Counting is done in civil time of the subscription's zone and converted to UTC last:
a change to or from summer time moves no billing day.
Periods are half-open, [start, end): neighbours share no instant and leave no gap.
"""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from math import gcd
from typing import Final, Literal
from zoneinfo import ZoneInfo

from dateutil.relativedelta import relativedelta

from billing.plans.terms import Cadence

Kind = Literal["trial", "regular"]

_DAY: Final = timedelta(days=1)
_DAYS_IN: Final = {"day": 1, "week": 7}
_MONTHS_IN: Final = {"month": 1, "year": 12}
# "localtime" is the machine's own zone, "posixrules" its default rule, "Factory" none at all; the
# folders "posix" and "right" aren't installed everywhere, and "right" counts leap seconds.
_OF_THE_MACHINE: Final = frozenset({"Factory", "localtime", "posixrules", "posix", "right"})
_MOST_OF_A_DAY: Final = timedelta(hours=20)


class ScheduleError(ValueError):
    """The schedule can't be counted: unknown zone, alignment without months, or too far out."""


class NotStarted(ValueError):
    """The instant is before the first period."""


@dataclass(frozen=True, slots=True)
class Period:
    """The time one invoice pays for, from `start` up to but not including `end` (UTC)."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        for at in (self.start, self.end):
            if at.tzinfo is not UTC and str(at.tzinfo) != "UTC":
                raise ValueError(f"a period is in UTC: {self.start} to {self.end}")
        if not self.start < self.end:
            raise ValueError(f"empty period: {self.start} to {self.end}")

    def __contains__(self, at: datetime) -> bool:
        return self.start <= at < self.end


@dataclass(frozen=True, slots=True)
class Anchor:
    """The civil date and time, and the IANA zone, from which every boundary is counted."""

    local: datetime
    zone: str

    def __post_init__(self) -> None:
        if self.local.tzinfo is not None:
            raise ScheduleError(f"an anchor is civil time, without an offset: {self.local}")
        zone_of(self.zone)


@dataclass(frozen=True, slots=True)
class Schedule:
    """All that says when periods begin: anchor, cadence, trial, and alignment to the calendar.

    With a trial, regular periods count from its end. With `anchor_day` they begin at civil
    midnight on that day of the month (the last one where a month is shorter), with `anchor_month`
    in that month and every cadence from it, with `anchor_weekday` (1 is Monday) on that day of the
    week. Without these, `month_day` is the day that boundaries have where a month is long enough,
    although that of the anchor is shorter.
    """

    anchor: Anchor
    cadence: Cadence
    trial: Cadence | None = None
    anchor_day: int | None = None
    anchor_month: int | None = None
    anchor_weekday: int | None = None
    month_day: int | None = None

    def __post_init__(self) -> None:
        day, month, weekday = self.anchor_day, self.anchor_month, self.anchor_weekday
        if day is not None and not 1 <= day <= 31:
            raise ScheduleError(f"anchor_day is a day of the month, not {day}")
        if day is not None and self.cadence.unit not in _MONTHS_IN:
            raise ScheduleError(f"anchor_day needs a cadence in months or years: {self.cadence}")
        if month is not None and (day is None or not 1 <= month <= 12):
            raise ScheduleError(f"anchor_month is a month from 1 to 12, with a day: {month}")
        if weekday is not None and (self.cadence.unit != "week" or not 1 <= weekday <= 7):
            raise ScheduleError(f"anchor_weekday is from 1 to 7, for weeks: {weekday}")

    @property
    def grid(self) -> "Grid | None":
        """The calendar's boundaries that periods are aligned to, if they are."""
        if self.anchor_day is None and self.anchor_weekday is None:
            return None
        return Grid(self.cadence, self.anchor_day, self.anchor_month, self.anchor_weekday)


@dataclass(frozen=True, slots=True)
class Grid:
    """Boundaries that lie in the calendar, whenever a subscription starts."""

    cadence: Cadence
    day: int | None
    month: int | None
    weekday: int | None


@lru_cache(maxsize=4096)  # what opens a cycle asks several times
def schedule_of(
    anchor_local: datetime,
    zone: str,
    every: str,
    trial: str | None,
    anchor_day: int | None,
    anchor_month: int | None = None,
    anchor_weekday: int | None = None,
    month_day: int | None = None,
) -> Schedule:
    """Return a stored subscription's schedule. Raises `ValueError` where its parts make none."""
    return Schedule(
        anchor=Anchor(anchor_local, zone),
        cadence=Cadence.parse(every),
        trial=Cadence.parse(trial) if trial else None,
        anchor_day=anchor_day,
        anchor_month=anchor_month,
        anchor_weekday=anchor_weekday,
        month_day=month_day,
    )


@dataclass(frozen=True, slots=True)
class ScheduledPeriod:
    """The n-th period with its kind and the share of a full one it is, in civil days.

    Only a stub before the first aligned boundary has a share other than 1 of 1.
    """

    n: int
    period: Period
    kind: Kind
    part: int = 1
    whole: int = 1


def nth(schedule: Schedule, n: int) -> ScheduledPeriod:
    """Return the n-th period, in the same few steps for every n; period 0 starts on the anchor."""
    if n < 0:
        raise ValueError(f"periods are counted forward from 0, not {n}")
    anchor, trial = schedule.anchor, schedule.trial
    if trial is None:
        start, k = anchor.local, n
    else:
        start, k = _shifted(anchor.local, anchor.zone, trial, 1), n - 1
        if k < 0:
            trial_period = Period(to_utc(anchor.local, anchor.zone), to_utc(start, anchor.zone))
            return ScheduledPeriod(n, trial_period, "trial")
    if schedule.grid is not None:
        return _nth_aligned(anchor.zone, schedule.grid, start, k, n)
    zone, cadence = anchor.zone, schedule.cadence
    day = schedule.month_day
    begin = to_utc(_shifted(start, zone, cadence, k, day), zone)
    end = to_utc(_shifted(start, zone, cadence, k + 1, day), zone)
    return ScheduledPeriod(n, Period(begin, end), "regular")


def number_containing(schedule: Schedule, at: datetime) -> int:
    """Return the number of the period that contains an instant: an estimate, then a step or two.

    Raises: NotStarted.
    """
    anchor = schedule.anchor
    if at < to_utc(anchor.local, anchor.zone):
        raise NotStarted(f"{at} is before the first period, which starts at {anchor.local}")
    n = max(0, _estimate(schedule, at))
    while at < nth(schedule, n).period.start:
        n -= 1
    while at >= nth(schedule, n).period.end:
        n += 1
    return n


def nth_from(schedule: Schedule, n: int, start: datetime) -> ScheduledPeriod:
    """Return the n-th period as it is once it was announced to start at `start`.

    That instant stays when the rules of the zone change afterwards: the period before ends there.
    The period's end follows from the rules of today. Its share stays that of the schedule.
    """
    scheduled = nth(schedule, n)
    if scheduled.period.start == start:
        return scheduled
    end = scheduled.period.end
    if end <= start:
        end = nth(schedule, number_containing(schedule, start)).period.end
    return replace(scheduled, period=Period(start, end))


def to_utc(local: datetime, zone: str) -> datetime:
    """Convert civil time to the instant it names.

    A civil time that a change of the clocks skips moves forward by the gap; one that
    happens twice is the first. (Both are what `fold=0` means in the standard library.)
    """
    return local.replace(tzinfo=zone_of(zone), fold=0).astimezone(UTC)


def to_local(at: datetime, zone: str) -> datetime:
    """Return the civil time (without an offset) that a clock in the zone shows."""
    return at.astimezone(zone_of(zone)).replace(tzinfo=None, fold=0)


def civil_days_between(start: datetime, end: datetime, zone: str) -> int:
    """Count the midnights in the zone from one instant to another; 23 and 25 hours are a day."""
    return (to_local(end, zone).date() - to_local(start, zone).date()).days


def later(at: datetime, by: Cadence, zone: str) -> datetime:
    """Return the instant (UTC) one cadence after another, at the same civil time of day."""
    return to_utc(_shifted(to_local(at, zone), zone, by, 1), zone)


def service_days(period: Period, zone: str) -> tuple[date, date]:
    """Return the first and the last civil day of a period, both included, as invoices print them.

    The day of a boundary belongs to the period that starts there.
    """
    first = to_local(period.start, zone).date()
    return first, max(first, to_local(period.end, zone).date() - _DAY)


def is_portable(zone: str) -> bool:
    """Tell whether a zone means the same on every machine; some names of the zone data don't."""
    return zone.partition("/")[0] not in _OF_THE_MACHINE


@lru_cache(maxsize=1024)
def zone_of(name: str) -> ZoneInfo:
    """Return the IANA zone. Raises: ScheduleError, for a name the zone data doesn't know."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ScheduleError(f"{name!r} is not an IANA time zone") from error


def _nth_aligned(zone: str, grid: Grid, start: datetime, k: int, n: int) -> ScheduledPeriod:
    """Return regular period k of a schedule whose regular periods begin on a grid.

    The first boundary of the grid that is not before the billing start ends the stub, if any.
    """
    first, begin, first_at = _first_boundary(start, zone, grid)
    if first_at > begin:
        if k == 0:
            stub_end = _aligned(start, grid, first)
            part = (stub_end.date() - start.date()).days
            whole = (stub_end - _aligned(start, grid, first - 1)).days
            share = (1, 1) if part == whole else (part, whole)
            return ScheduledPeriod(n, Period(begin, first_at), "regular", *share)
        k -= 1
    lower = to_utc(_aligned(start, grid, first + k), zone)
    upper = to_utc(_aligned(start, grid, first + k + 1), zone)
    return ScheduledPeriod(n, Period(lower, upper), "regular")


@lru_cache(maxsize=4096)
def _first_boundary(start: datetime, zone: str, grid: Grid) -> tuple[int, datetime, datetime]:
    """Return the first boundary not before the start: its number, the start, its instant.

    Kept, because it is the same for all periods of a subscription. Instants are compared,
    since a civil time in a gap of the clocks may lie after one that looks later.
    """
    begin = to_utc(start, zone)
    first_at = to_utc(_aligned(start, grid, 0), zone)
    if first_at >= begin:
        return 0, begin, first_at
    return 1, begin, to_utc(_aligned(start, grid, 1), zone)


def _aligned(start: datetime, grid: Grid, k: int) -> datetime:
    """Return boundary k of a grid: a civil midnight, clamped to the month's length each time anew.

    Boundary 0 is that of the start's week or month, or of the last month before that is one.
    """
    cadence = grid.cadence
    try:
        if grid.weekday is not None:
            midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
            back = (start.isoweekday() - grid.weekday) % 7
            return midnight + (k * cadence.count * 7 - back) * _DAY
        length = cadence.count * _MONTHS_IN[cadence.unit]
        back = 0 if grid.month is None else (start.month - grid.month) % gcd(length, 12)
        month = datetime(start.year, start.month, 1)  # noqa: DTZ001
        return month + _months(k * length - back, grid.day)
    except (ValueError, OverflowError) as error:
        raise _too_far(start, cadence, k) from error


def _shifted(
    local: datetime, zone: str, cadence: Cadence, k: int, day: int | None = None
) -> datetime:
    """Return the civil time k cadences after another: same day of month, or its last day.

    With `day`, that day of the month.
    """
    months = _MONTHS_IN.get(cadence.unit)
    try:
        if months is not None:
            return local + _months(k * cadence.count * months, day)
        moved = local + k * cadence.count * _DAYS_IN[cadence.unit] * _DAY
        return moved if cadence.unit == "week" else _past_lost_days(local, moved, zone)
    except (ValueError, OverflowError) as error:
        raise _too_far(local, cadence, k) from error


def _past_lost_days(local: datetime, moved: datetime, zone: str) -> datetime:
    """Return `moved` later by the civil days that its zone left out on the way.

    A zone that crosses the date line leaves out a civil day (Samoa had no
    2011-12-30). Counting it would give a daily subscription a period without length.
    """
    tz = zone_of(zone)
    before = local.replace(tzinfo=tz, fold=0).utcoffset()
    after = moved.replace(tzinfo=tz, fold=0).utcoffset()
    if before is None or after is None or after - before < _MOST_OF_A_DAY:
        return moved
    return moved + _DAY


@lru_cache(maxsize=4096)
def _months(months: int, day: int | None = None) -> relativedelta:
    return relativedelta(months=months, day=day)


def _estimate(schedule: Schedule, at: datetime) -> int:
    """Return a period number at most a few off, from the civil time passed since the start."""
    anchor, cadence, trial = schedule.anchor, schedule.cadence, schedule.trial
    local = to_local(at, anchor.zone)
    start, first = anchor.local, 0
    if trial is not None:
        start, first = _shifted(start, anchor.zone, trial, 1), 1
    months = _MONTHS_IN.get(cadence.unit)
    if months is None:
        passed = (local - start).days // (_DAYS_IN[cadence.unit] * cadence.count)
    else:
        passed = (local.year - start.year) * 12 + local.month - start.month
        passed //= months * cadence.count
    return passed + first


def _too_far(local: datetime, cadence: Cadence, k: int) -> ScheduleError:
    return ScheduleError(f"{k} times {cadence} from {local} is beyond the calendar")
