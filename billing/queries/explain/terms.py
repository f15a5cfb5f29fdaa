"""Which terms a cycle was opened with and why those, and what its schedule says."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from sqlalchemy import Connection

from billing.plans.items import Item
from billing.plans.terms import Plan, PlanVersion
from billing.rules.money import Money
from billing.rules.periods import to_local
from billing.rules.subscriptions import CycleKind
from billing.store.subscriptions import cycles, plans, segments
from billing.store.subscriptions.cycles import Cycle
from billing.store.subscriptions.subscriptions import Subscription


class VersionReason(StrEnum):
    """Why a cycle has the version it has."""

    FIRST = "first"
    HELD = "held"
    MOVED = "moved"


@dataclass(frozen=True, slots=True)
class PassedBy:
    """A later version that this subscription wasn't moved to, and what it says of existing ones."""

    effective: date
    existing: str


@dataclass(frozen=True, slots=True)
class TermsFacts:
    """The version of the plan that a cycle was opened with: its price, or its items.

    `held` is the version of the cycle before, None for the first one.
    """

    n: int
    plan: str
    effective: date
    currency: str
    price: Money | None
    every: str
    reason: VersionReason
    held: date | None
    passed_by: tuple[PassedBy, ...]
    items: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True)
class ScheduleFacts:
    """What a subscription's boundaries are counted from, and the period that this makes.

    That is so from period `from_n` on. Where a change cut the cycle, it ended at `cut_at`.
    """

    from_n: int
    anchor_local: datetime
    zone: str
    every: str
    anchor_day: int | None
    anchor_month: int | None
    anchor_weekday: int | None
    trial: str | None
    n: int
    starts: datetime
    ends: datetime
    cycle_kind: CycleKind
    part: int
    whole: int
    cut_at: datetime | None = None


def terms_facts(conn: Connection, subscription: Subscription, cycle: Cycle) -> TermsFacts:
    """Return the terms of a cycle and why it has those."""
    plan = plans.published(conn).get(cycle.plan)
    assert plan is not None, "published plans are never deleted"
    version = next(each for each in plan.versions if each.effective == cycle.plan_version)
    price = version.prices.get(subscription.currency)
    held = None
    if cycle.n > 0:
        held = cycles.of_subscription(conn, subscription.id)[cycle.n - 1].plan_version
    zone = segments.timetable(conn, subscription).segment_of(cycle.n).schedule.anchor.zone
    starts_on = to_local(cycle.period_start, zone).date()
    return TermsFacts(
        n=cycle.n,
        plan=plan.code,
        effective=version.effective,
        currency=subscription.currency,
        price=None if price is None else Money(price, subscription.currency),
        every=str(version.every),
        reason=_reason(held, version),
        held=held,
        passed_by=tuple(_passed_by(plan, version, starts_on, cycle.period_start)),
        items=version.items,
    )


def _reason(held: date | None, version: PlanVersion) -> VersionReason:
    if held is None:
        return VersionReason.FIRST
    return VersionReason.HELD if held == version.effective else VersionReason.MOVED


def _passed_by(
    plan: Plan, held: PlanVersion, starts_on: date, starts: datetime
) -> Iterator[PassedBy]:
    for later in plan.versions:
        if held.effective < later.effective <= starts_on and later.is_published_by(starts):
            yield PassedBy(later.effective, later.existing)


def schedule_facts(conn: Connection, subscription: Subscription, cycle: Cycle) -> ScheduleFacts:
    """Return the period that a cycle has by its subscription's schedule, as it was then."""
    segment = segments.timetable(conn, subscription).segment_of(cycle.n)
    scheduled, schedule = segment.nth(cycle.n), segment.schedule
    return ScheduleFacts(
        from_n=segment.from_n,
        anchor_local=schedule.anchor.local,
        zone=schedule.anchor.zone,
        every=str(schedule.cadence),
        anchor_day=schedule.anchor_day,
        anchor_month=schedule.anchor_month,
        anchor_weekday=schedule.anchor_weekday,
        trial=None if schedule.trial is None else str(schedule.trial),
        n=cycle.n,
        starts=scheduled.period.start,
        ends=scheduled.period.end,
        cycle_kind=cycle.kind,
        part=scheduled.part,
        whole=scheduled.whole,
        cut_at=cycles.cut_at(conn, subscription.id, cycle.n),
    )
