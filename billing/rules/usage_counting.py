"""Which meters an event counts on, and in which period. Pure.

Everything follows from the event's instant, never from when it arrives: events may come in any
order, and again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from billing.plans.meters import Aggregate, Meter
from billing.rules.periods import NotStarted, Period
from billing.rules.segments import Timetable
from billing.rules.subscriptions import DatedChange, is_paused
from billing.rules.usage import (
    AHEAD_MAX,
    UsageEvent,
    UsageRefusal,
    key_of,
    number_of,
    text_of,
)


@dataclass(frozen=True, slots=True)
class MeteredItem:
    """An item that bills usage: its meter, and how long after its instant usage is accepted."""

    item: str
    meter: Meter
    late_for: timedelta


Sold = Mapping[str, tuple[MeteredItem, ...]]
"""Items that bill usage, by the name of the events that they count."""


@dataclass(frozen=True, slots=True)
class SoldFrom:
    """What bills usage from an instant of a period on."""

    starts_at: datetime
    sold: Sold


@dataclass(frozen=True, slots=True)
class UsagePeriod:
    """A period in which usage is counted, and what bills it.

    Where that changed within it, `segments` have it from each of its beginnings on.
    """

    n: int
    start: datetime
    end: datetime
    is_paused: bool
    sold: Sold
    segments: tuple[SoldFrom, ...] = ()

    def segment_at(self, at: datetime) -> int:
        """Return the number of the segment that an instant is in."""
        return max(0, sum(each.starts_at <= at for each in self.segments) - 1)

    def sold_at(self, at: datetime) -> Sold:
        """Return what bills usage of an instant."""
        return self.segments[self.segment_at(at)].sold if self.segments else self.sold


@dataclass(frozen=True, slots=True)
class Counted:
    """One event on one meter: the period and the segment of it, and what is read of the event."""

    meter: str
    n: int
    segment: int
    value: str | None = None
    key: UUID | None = None


@dataclass(slots=True)
class UsageSubscription:
    """A subscription as usage is counted for it.

    `periods` are those that were opened and may still take usage, in order. What comes after them
    follows from the timetable; `later` bills it, and `later_from` what starts at an instant or
    after it. `next_start` is where the period after them was announced to start, and `ended_in`
    where the one started, if it was never opened, in which the subscription ended. From
    `unpaid_from` on it isn't served, because collecting was given up.
    """

    id: UUID
    timetable: Timetable
    periods: list[UsagePeriod]
    next_n: int
    next_start: datetime | None
    ends_at: datetime | None
    later: Sold
    changes: Sequence[DatedChange] = ()
    unpaid_from: datetime | None = None
    ended_in: datetime | None = None
    later_from: Sequence[SoldFrom] = ()
    _last: UsagePeriod | None = field(init=False, default=None)

    def period_at(self, at: datetime) -> UsagePeriod | UsageRefusal:
        """Return the period that contains an instant."""
        last = self._last
        if last is not None and last.start <= at < last.end:
            return last
        found: UsagePeriod | UsageRefusal | None = next(
            (each for each in self.periods if each.start <= at < each.end), None
        )
        found = found or self._later(at)
        if isinstance(found, UsagePeriod):
            self._last = found
        return found

    def _later(self, at: datetime) -> UsagePeriod | UsageRefusal:
        """Return a period that isn't opened yet, and remember it."""
        if self.periods and at < self.periods[0].start:
            return UsageRefusal.TOO_OLD if self.periods[0].n else UsageRefusal.NOT_STARTED
        start = self.next_start or self.ended_in
        if start is None:
            return UsageRefusal.CANCELED
        if at < start:
            return UsageRefusal.TOO_OLD if self.next_n else UsageRefusal.NOT_STARTED
        n, period = self.next_n, self.timetable.nth_from(self.next_n, start).period
        if at >= period.end:
            n, period = self._numbered(at, period)
        paused = is_paused(self.changes, period.start)
        made = UsagePeriod(n, period.start, period.end, paused, self._sold_later(period.start))
        self.periods.append(made)
        return made

    def _sold_later(self, start: datetime) -> Sold:
        """Return what bills usage of a period that isn't opened yet."""
        begun = [each.sold for each in self.later_from if each.starts_at <= start]
        return begun[-1] if begun else self.later

    def _numbered(self, at: datetime, announced: Period) -> tuple[int, Period]:
        """Return the period behind the next one that contains an instant."""
        n = max(self.next_n + 1, self.timetable.number_containing(at))
        period = self.timetable.nth(n).period
        return n, Period(max(period.start, announced.end), period.end)


def never_paused(subscription: UsageSubscription) -> UsageSubscription:
    """Return a subscription whose paused periods take usage as others do."""
    periods = [replace(each, is_paused=False) for each in subscription.periods]
    return replace(subscription, periods=periods, changes=())


def counted(
    event: UsageEvent, subscription: UsageSubscription, now: datetime
) -> tuple[Counted, ...] | UsageRefusal:
    """Return what an event counts for, on every meter that takes it; or why on none.

    It counts on all of its meters or on none.
    """
    at = event.at
    if at > now + AHEAD_MAX:
        return UsageRefusal.IN_FUTURE
    try:
        period = subscription.period_at(at)
    except NotStarted:
        return UsageRefusal.NOT_STARTED
    if isinstance(period, UsageRefusal):
        return period
    refused = _standing(subscription, period, at)
    if refused is not None:
        return refused
    items = period.sold_at(at).get(event.name)
    if not items:
        return UsageRefusal.NOT_SOLD
    if any(at < now - each.late_for for each in items):
        return UsageRefusal.TOO_OLD
    return _on_meters(event, period, items)


def _standing(
    subscription: UsageSubscription, period: UsagePeriod, at: datetime
) -> UsageRefusal | None:
    """Return why a subscription takes no usage of an instant; None where it does."""
    if subscription.ends_at is not None and at >= subscription.ends_at:
        return UsageRefusal.CANCELED
    if period.is_paused:
        return UsageRefusal.PAUSED
    unpaid = subscription.unpaid_from
    return UsageRefusal.UNPAID if unpaid is not None and at >= unpaid else None


def _on_meters(
    event: UsageEvent, period: UsagePeriod, items: Sequence[MeteredItem]
) -> tuple[Counted, ...] | UsageRefusal:
    found: list[Counted] = []
    for each in items:
        meter = each.meter
        if meter.where and not _takes(meter, event):
            continue
        value = key = None
        if meter.value is not None:
            value = number_of(event.properties.get(meter.value))
            if value is None:
                return UsageRefusal.BAD_VALUE
        if meter.aggregate is Aggregate.UNIQUE:
            key = key_of(event.properties.get(meter.key or ""))
            if key is None:
                return UsageRefusal.BAD_VALUE
        found.append(Counted(meter.code, period.n, period.segment_at(event.at), value, key))
    return tuple(found) or UsageRefusal.FILTERED


def _takes(meter: Meter, event: UsageEvent) -> bool:
    properties = event.properties
    return all(text_of(properties.get(name)) in values for name, values in meter.where.items())
