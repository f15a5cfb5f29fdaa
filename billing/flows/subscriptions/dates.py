"""Dates that people name: in a subscription's zone, at the boundaries of its periods."""

from datetime import datetime, timedelta
from typing import Final

from billing.errors import BadInput, Conflict, ErrorCode
from billing.rules.periods import ScheduledPeriod, to_utc
from billing.store.subscriptions.subscriptions import Subscription

TICK: Final = timedelta(microseconds=1)
"""A change holds for the periods that start after it: one tick before, for that one as well."""
_PERIODS_MAX: Final = 1_000


def later(subscription: Subscription, local: datetime, now: datetime) -> datetime:
    """Return the instant of a civil time in a subscription's zone. Raises `BadInput`, if past."""
    at = to_utc(local, subscription.zone)
    if at <= now:
        raise BadInput(
            f"{local:%Y-%m-%d %H:%M} in {subscription.zone} lies behind us",
            where="date",
            code=ErrorCode.DATE_PASSED,
        )
    return at


def pause_over(
    subscription: Subscription, now: datetime, periods: int | None, until: datetime | None
) -> datetime | None:
    """Return the instant from which periods are billed again; None where nothing is said."""
    if periods is not None and until is not None:
        raise BadInput("a pause is for so many periods or until a date, not both", where="until")
    if until is not None:
        return later(subscription, until, now)
    if periods is None:
        return None
    if not 1 <= periods <= _PERIODS_MAX:
        raise BadInput(
            f"a pause is for 1 to {_PERIODS_MAX:,} periods, not {periods:,}", where="periods"
        )
    scheduled = _next(subscription)
    while scheduled.period.start <= now:
        scheduled = _after(subscription, scheduled)
    for _ in range(periods):
        scheduled = _after(subscription, scheduled)
    return scheduled.period.start


def end_of_period(subscription: Subscription, at: datetime, now: datetime) -> datetime:
    """Return when the period ends in which an instant lies, and that contains now or comes later.

    Where a period starts at the instant, that is the end of the one before.
    """
    scheduled = _next(subscription)
    if scheduled.period.start >= at and scheduled.period.start > now:
        return scheduled.period.start
    while scheduled.period.end < at or scheduled.period.end <= now:
        scheduled = _after(subscription, scheduled)
    return scheduled.period.end


def _next(subscription: Subscription) -> ScheduledPeriod:
    if subscription.renews_at is None:
        raise Conflict(
            f"subscription {subscription.id} has no period to come",
            code=ErrorCode.CHANGE_UNPAID,
            subscription_id=subscription.id,
        )
    return subscription.next_period


def _after(subscription: Subscription, scheduled: ScheduledPeriod) -> ScheduledPeriod:
    return subscription.timetable.nth_from(scheduled.n + 1, scheduled.period.end)
