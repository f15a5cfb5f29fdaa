"""Another cadence, billing day or zone: what is asked for, and the segments that come of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from billing.errors import BadInput, ErrorCode
from billing.plans.terms import PlanVersion
from billing.rules.item_changes import ItemChange, orders_to_come
from billing.rules.periods import Schedule, ScheduleError, is_portable, nth, to_local, zone_of
from billing.rules.schedule_orders import ScheduleOrder, planned
from billing.rules.segments import Segment, Timetable
from billing.store.subscriptions import cycles
from billing.store.subscriptions.subscriptions import Subscription

_DAYS_OF_MONTHS: Final = range(1, 32)
_MONTHS: Final = ("month", "year")


@dataclass(frozen=True, slots=True)
class MovedPeriods:
    """What a change does to periods from number `n` on, which starts at an instant."""

    n: int
    starts_at: datetime
    before: Schedule
    after: Schedule

    def document(self) -> dict[str, Any]:
        """Return it as JSON-able values."""
        return {
            "n": self.n,
            "starts_at": self.starts_at.isoformat(),
            "before": _told(self.before),
            "after": _told(self.after),
        }


def _told(schedule: Schedule) -> dict[str, Any]:
    return {
        "every": str(schedule.cadence),
        "zone": schedule.anchor.zone,
        "anchor_day": schedule.anchor_day,
        "anchor_month": schedule.anchor_month,
        "anchor_weekday": schedule.anchor_weekday,
    }


def moved(before: Timetable, after: Timetable) -> MovedPeriods | None:
    """Return what is other in the second timetable; None where nothing is."""
    differing = set(before.segments) ^ set(after.segments)
    if not differing:
        return None
    n = min(segment.from_n for segment in differing)
    was, becomes = before.segment_of(n), after.segment_of(n)
    return MovedPeriods(n, becomes.nth(n).period.start, was.schedule, becomes.schedule)


def ordered(
    version: PlanVersion | None,
    held: PlanVersion,
    billing_day: int | None,
    zone: str | None,
) -> ScheduleOrder | None:
    """Return what an order says of the periods to come; None where it says nothing.

    `version` is that of another plan, `held` the terms that are held otherwise. Raises: BadInput.
    """
    if zone is not None:
        check_zone(zone)
    if billing_day is not None:
        _check_billing_day(billing_day, version or held)
    if version is None and billing_day is None and zone is None:
        return None
    if version is None:
        return ScheduleOrder(billing_day=billing_day, zone=zone)
    return ScheduleOrder(
        every=version.every,
        anchor_day=version.anchor_day,
        anchor_month=version.anchor_month,
        anchor_weekday=version.anchor_weekday,
        billing_day=billing_day,
        zone=zone,
    )


def check_zone(zone: str) -> None:
    """Check that a zone is known, and the same one everywhere. Raises: BadInput."""
    try:
        zone_of(zone)
    except ScheduleError as error:
        raise BadInput(str(error), where="zone", code=ErrorCode.ZONE_UNKNOWN) from error
    if not is_portable(zone):
        raise BadInput(
            f"{zone!r} is not the same time zone on every machine",
            where="zone",
            code=ErrorCode.ZONE_UNKNOWN,
        )


def _check_billing_day(day: int, version: PlanVersion) -> None:
    if day not in _DAYS_OF_MONTHS:
        raise BadInput(f"a billing day is from 1 to 31, not {day}", where="billing_day")
    if not takes_billing_day(version):
        in_months = version.every.unit in _MONTHS
        by_plan = f"on day {version.anchor_day}" if in_months else f"every {version.every}"
        raise BadInput(
            f"plan {version.plan} says when periods begin: {by_plan}",
            where="billing_day",
            code=ErrorCode.CHANGE_BILLING_DAY,
            plan=version.plan,
        )


def takes_billing_day(version: PlanVersion) -> bool:
    """Tell whether periods of a plan may begin on any day of the month."""
    return version.every.unit in _MONTHS and version.anchor_day is None


def last_billed_start(conn: Connection, subscription: Subscription) -> datetime | None:
    """Return where the last period starts that was opened and is no trial; None: there is none."""
    cycle = cycles.last(conn, subscription.id)
    if cycle is None or subscription.segment.nth(cycle.n).kind == "trial":
        return None
    return cycle.period_start


def to_come(
    subscription: Subscription, changes: Sequence[ItemChange], last_start: datetime | None
) -> tuple[Segment, ...]:
    """Return the segments of a subscription that its changes make, and that haven't begun."""
    announced = subscription.renews_at
    starts = {} if announced is None else {subscription.next_n: announced}
    if last_start is not None:
        starts[subscription.next_n - 1] = last_start
    return planned(subscription.segment, orders_to_come(changes, last_start), starts)


def begins_already(schedule: Schedule, day: int) -> bool:
    """Tell whether periods begin on a day of the month as they are."""
    if schedule.anchor_day is not None:
        return day == schedule.anchor_day and schedule.anchor_month is None
    first = nth(schedule, 0 if schedule.trial is None else 1).period.start
    local = to_local(first, schedule.anchor.zone)
    is_midnight = (local.hour, local.minute, local.second) == (0, 0, 0)
    in_months = schedule.cadence.unit in _MONTHS
    return in_months and is_midnight and day == (schedule.month_day or local.day)
