"""What changes of cadence, billing day and zone make of a subscription's schedule. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from billing.plans.terms import Cadence
from billing.rules.periods import (
    Anchor,
    NotStarted,
    Schedule,
    civil_days_between,
    nth,
    to_local,
)
from billing.rules.segments import Segment, Timetable

_MONTHS_IN: Final = {"month": 1, "year": 12}
_HALF_A_DAY: Final = timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class ScheduleOrder:
    """What a change says about periods to come; what it doesn't name stays.

    With `every` come the days on which the periods of a plan begin, where it names any.
    """

    every: Cadence | None = None
    anchor_day: int | None = None
    anchor_month: int | None = None
    anchor_weekday: int | None = None
    billing_day: int | None = None
    zone: str | None = None

    def detail(self) -> dict[str, Any]:
        """Return it as JSON-able values."""
        every = None if self.every is None else str(self.every)
        found = {name: getattr(self, name) for name in self.__slots__} | {"every": every}
        return {name: value for name, value in found.items() if value is not None}

    @classmethod
    def of_detail(cls, detail: Mapping[str, Any]) -> "ScheduleOrder":
        """Read it back. Raises: ValueError, TypeError."""
        every = detail.get("every")
        return cls(**{**detail, "every": None if every is None else Cadence.parse(every)})

    def then(self, later: "ScheduleOrder") -> "ScheduleOrder":
        """Return both together: what the later one names wins.

        A plan whose periods begin on days of its own, or aren't counted in months, leaves no
        billing day.
        """
        days = self if later.every is None else later
        billing_day = later.billing_day
        if billing_day is None and (later.every is None or later.leaves_days):
            billing_day = self.billing_day
        return ScheduleOrder(
            every=days.every,
            anchor_day=days.anchor_day,
            anchor_month=days.anchor_month,
            anchor_weekday=days.anchor_weekday,
            billing_day=billing_day,
            zone=later.zone or self.zone,
        )

    @property
    def leaves_days(self) -> bool:
        """Whether periods that are counted so may begin on any day of the month."""
        in_months = self.every is None or self.every.unit in _MONTHS_IN
        return in_months and self.anchor_day is None


@dataclass(frozen=True, slots=True)
class DatedOrder:
    """An order and the instant from which it holds.

    One that cuts the cycle of period `cuts`, which is to start anew at the instant, has its number.
    """

    at: datetime
    order: ScheduleOrder
    cuts: int | None = None


class _Days(NamedTuple):
    """The length of periods in months or as a cadence, and the days on which they begin."""

    length: int | Cadence
    day: int | None
    month: int | None
    weekday: int | None


def changes_days(before: Schedule, order: ScheduleOrder) -> bool:
    """Tell whether an order makes periods longer, shorter, or begin on other days."""
    return _days(_ordered(before, order)) != _days(before)


def changes_schedule(before: Schedule, order: ScheduleOrder) -> bool:
    """Tell whether an order changes anything of a schedule."""
    return changes_days(before, order) or order.zone not in (None, before.anchor.zone)


def begun(
    before: Schedule, order: ScheduleOrder, at: datetime, *, cut: datetime | None = None
) -> Schedule | None:
    """Return the schedule of a segment that begins at an instant; None where none does.

    `at` is where a period ends, whose civil time of day, and day of the month, the new one keeps.
    Where it cuts a period, which started at `cut`, periods are counted from `at`; another zone
    alone keeps the civil times at which they begin.
    """
    days_stay = not changes_days(before, order)
    zone_stays = order.zone in (None, before.anchor.zone)
    if days_stay and zone_stays and cut is None:
        return None
    ordered, zone = _ordered(before, order), order.zone or before.anchor.zone
    counted_anew = cut is not None and (zone_stays or not days_stay)
    if counted_anew:
        local = to_local(at, zone).replace(microsecond=0)
    else:
        local = to_local(cut or at, before.anchor.zone)
    month_day = None if counted_anew else _month_day(before, ordered, local)
    made = replace(ordered, anchor=Anchor(local, zone), trial=None, month_day=month_day)
    return _settled(made, at, shorter=cut is not None)


def planned(
    current: Segment, orders: Sequence[DatedOrder], starts: Mapping[int, datetime]
) -> tuple[Segment, ...]:
    """Return the segments that orders make after the current one, in order.

    `orders` are in the order in which they were asked for. Each begins with the first billed period
    that starts at its instant or later; those that begin together are one. `starts` are the
    instants at which periods start that were opened or announced, whatever zones say today.
    """
    found: list[Segment] = []
    group: _Together | None = None
    for dated in sorted(orders, key=lambda each: each.at):
        last = found[-1] if found else current
        begins = _begins(last, dated, starts)
        if begins.cut is not None:
            starts = {**starts, begins.n: begins.start}
        if group is not None and begins.n == group.n:
            order = group.order.then(dated.order)
            found = found if group.made is None else found[:-1]
            cut = begins.cut or group.cut
            group = replace(group, order=order, start=begins.start, cut=cut)
        else:
            group = _Together(begins.n, begins.start, dated.order, last, begins.cut)
        made = begun(group.before.schedule, group.order, group.start, cut=group.cut)
        group = replace(group, made=made)
        if made is not None:
            found.append(Segment(group.n, group.start, made))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Together:
    """Orders that begin with one period, and the segment before it."""

    n: int
    start: datetime
    order: ScheduleOrder
    before: Segment
    cut: datetime | None
    made: Schedule | None = None


class _Begins(NamedTuple):
    n: int
    start: datetime
    cut: datetime | None


def _begins(last: Segment, dated: DatedOrder, starts: Mapping[int, datetime]) -> _Begins:
    """Return the number and the start of the period with which an order begins."""

    def start(n: int) -> datetime:
        return starts.get(n) or last.nth(n).period.start

    if dated.cuts is not None:
        return _Begins(dated.cuts + 1, dated.at, start(dated.cuts))
    try:
        n = max(last.from_n, Timetable((last,)).number_containing(dated.at) - 1)
    except NotStarted:
        n = last.from_n
    while start(n) < dated.at or last.nth(n).kind == "trial":
        n += 1
    return _Begins(n, start(n), None)


def _ordered(before: Schedule, order: ScheduleOrder) -> Schedule:
    """Return a schedule with the cadence and the days that are ordered, its anchor as it was."""
    made = before
    asked = (order.anchor_day, order.anchor_month, order.anchor_weekday)
    held = (before.anchor_day, before.anchor_month, before.anchor_weekday)
    if order.every is not None and (
        _length(order.every) != _length(before.cadence)
        or any(one not in (None, other) for one, other in zip(asked, held, strict=True))
    ):
        made = _with_days(before, order.every, *asked)
    if order.billing_day is not None and made.cadence.unit in _MONTHS_IN:
        made = _with_days(made, made.cadence, order.billing_day, None, None)
    return made


def _with_days(
    before: Schedule, every: Cadence, day: int | None, month: int | None, weekday: int | None
) -> Schedule:
    return replace(
        before,
        cadence=every,
        anchor_day=day,
        anchor_month=month,
        anchor_weekday=weekday,
        month_day=None,
    )


def _days(schedule: Schedule) -> _Days:
    return _Days(
        _length(schedule.cadence),
        schedule.anchor_day,
        schedule.anchor_month,
        schedule.anchor_weekday,
    )


def _length(cadence: Cadence) -> int | Cadence:
    """Return a cadence so that equal ones are equal: a year is twelve months."""
    months = _MONTHS_IN.get(cadence.unit)
    return cadence if months is None else cadence.count * months


def _month_day(before: Schedule, ordered: Schedule, local: datetime) -> int | None:
    """Return the day of the month to which boundaries return, where that of `local` is shorter."""
    in_months = all(each.cadence.unit in _MONTHS_IN for each in (before, ordered))
    if not in_months or ordered.grid is not None:
        return None
    day = before.anchor_day or before.month_day or _first_billed(before).day
    return None if day <= local.day else day


def _first_billed(schedule: Schedule) -> datetime:
    """Return the civil time at which the first billed period of a schedule begins."""
    k = 0 if schedule.trial is None else 1
    return to_local(nth(schedule, k).period.start, schedule.anchor.zone)


def _settled(schedule: Schedule, at: datetime, *, shorter: bool) -> Schedule:
    """Return a schedule whose first period, where it starts at `at`, is long enough for one.

    It has a civil day left, and half of its length unless it may be `shorter`; otherwise the
    schedule begins with a later one. Where days begin more than half of one after `at`, because the
    zone is on the other side of the date line, it begins with an earlier one.
    """
    zone, k = schedule.anchor.zone, 0
    if schedule.cadence.unit == "day" and nth(schedule, 0).period.start - at > _HALF_A_DAY:
        local = schedule.anchor.local - 2 * _HALF_A_DAY
        schedule = replace(schedule, anchor=Anchor(local, zone))
    while True:
        period = nth(schedule, k).period
        left = period.end - at
        half = shorter or left * 2 >= period.end - period.start
        if half and period.end > at and civil_days_between(at, period.end, zone) > 0:
            break
        k += 1
    if k == 0:
        return schedule
    local = to_local(period.start, zone)
    made = replace(schedule, anchor=Anchor(local, zone))
    return replace(made, month_day=_month_day(schedule, made, local))
