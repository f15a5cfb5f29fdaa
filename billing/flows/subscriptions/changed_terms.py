"""What a change asks for: the terms before and after it, and what they make of the price."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import Connection

from billing.errors import BadInput, Conflict, ErrorCode, NotFound
from billing.flows.cycles import held_terms
from billing.flows.cycles.charging import Holdings
from billing.flows.subscriptions import changed_addons, ordered_items, schedules
from billing.flows.subscriptions.schedules import MovedPeriods
from billing.flows.subscriptions.subscribing import had_before, refuse_retired
from billing.plans.addons import Addon
from billing.plans.items import BASE
from billing.plans.terms import (
    NoVersion,
    Plan,
    PlanVersion,
    version_for_new,
    version_for_period,
)
from billing.rules.change_states import PriceMove
from billing.rules.item_changes import Applies, HeldTerms, ItemChange, changed, held_at_start
from billing.rules.periods import to_local
from billing.rules.schedule_orders import changes_schedule
from billing.rules.segments import Segment, Timetable
from billing.rules.subscriptions import BILLED_KINDS, DatedChangeKind
from billing.rules.texts import nearest
from billing.store.subscriptions import cycles
from billing.store.subscriptions.subscriptions import Subscription

GivenBack = Literal["next_invoice", "refund"]


@dataclass(frozen=True, slots=True)
class ChangeOrder:
    """What a subscription is to hold: another plan, other quantities, or another schedule.

    `quantity` is that of a plan with a single price, `items` are quantities by item or add-on, of
    which 0 removes one. `billing_day` is the day of the month on which periods are to begin, and
    `zone` the one whose civil time counts. Without
    `applies`, the plan says when it begins to hold: `up` where it costs more, else `down`. `credit`
    says where goes what it takes away, else the plan says it too. A `coupon` is redeemed with it.
    """

    plan: str | None = None
    quantity: int | None = None
    items: Mapping[str, int] = field(default_factory=dict)
    applies: Applies | None = None
    billing_day: int | None = None
    zone: str | None = None
    credit: GivenBack | None = None
    coupon: str | None = None

    @property
    def quantities(self) -> Mapping[str, int]:
        """What it asks for by item."""
        return self.items if self.quantity is None else {**self.items, BASE: self.quantity}

    @property
    def is_empty(self) -> bool:
        """Whether it names nothing; a coupon alone changes nothing that is held."""
        return (self.plan, self.billing_day, self.zone) == (None, None, None) and (
            not self.quantities
        )

    @property
    def kind(self) -> DatedChangeKind:
        """What sort of change it is."""
        if self.plan is not None:
            return DatedChangeKind.PLAN
        return DatedChangeKind.QUANTITY if self.quantities else DatedChangeKind.SCHEDULE


@dataclass(frozen=True, slots=True)
class ChangedTerms:
    """What is held before and after a change that holds from an instant, each in its version.

    `asked` are it and all changes before it, `to_come` the segments that they make, and `moved` the
    periods that are other ones without it. Where it cuts a cycle, the first segment begins there.
    """

    before: HeldTerms
    before_version: PlanVersion
    plan_before: Plan
    after: HeldTerms
    version: PlanVersion
    plan: Plan
    change: ItemChange
    addons: Mapping[str, Addon]
    asked: Sequence[ItemChange] = ()
    to_come: tuple[Segment, ...] = ()
    moved: MovedPeriods | None = None

    @property
    def counts_usage(self) -> bool:
        """Whether what is held after it has meters."""
        added = [self.addons[code].versions for code in self.after.addons]
        sold = [*self.version.sold, *(each.item for versions in added for each in versions)]
        return any(item.meter is not None for item in sold)

    def move(self, currency: str) -> PriceMove:
        """Return what the change does to the price of a whole period. Raises: BadInput."""
        was = ordered_items.recurring_price(self.before_version, currency, self.before.items)
        was += changed_addons.recurring_price(self.before, self.addons, currency)
        becomes = ordered_items.recurring_price(self.version, currency, self.after.items)
        becomes += changed_addons.recurring_price(self.after, self.addons, currency)
        if self.change.plan is not None:
            return PriceMove.PLAN_UP if becomes > was else PriceMove.PLAN_DOWN
        if self.moved is not None and becomes <= was:
            return PriceMove.SCHEDULE
        return PriceMove.QUANTITY_UP if becomes > was else PriceMove.QUANTITY_DOWN


def terms_of(
    conn: Connection,
    subscription: Subscription,
    held: Holdings,
    catalog: Mapping[str, Plan],
    order: ChangeOrder,
    *,
    addons: Mapping[str, Addon],
    applies: Applies,
    at: datetime,
    change_id: UUID | None,
) -> ChangedTerms:
    """Return what an order comes to, from an instant. Raises: BadInput, Conflict, NotFound.

    One for the period's end follows changes that are scheduled already.
    """
    before, before_version = _before(subscription, held, catalog, applies, at)
    plan, version = catalog[before.plan], before_version
    if order.plan is not None:
        plan, version = _new_plan(conn, subscription, catalog, order.plan, at)
    on = to_local(at, subscription.zone).date()
    own, added = changed_addons.split(order.quantities, plan, addons, before, on)
    ordered_items.check(version, own)
    new_version = None if order.plan is None else version
    change = ItemChange(
        kind=order.kind,
        holds_from=at,
        change_id=change_id,
        applies=applies,
        plan=None if order.plan is None else plan.code,
        version=None if order.plan is None else version.effective,
        items=order.quantities,
        addons=added,
        defaults={} if order.plan is None else ordered_items.defaults(version),
        schedule=schedules.ordered(
            new_version, version, _billing_day(subscription, order), order.zone
        ),
    )
    change = replace(change, cuts=_cuts(conn, subscription, change))
    after = changed(before, change)
    asked = [*(held.changes or [held_before_changes(subscription, before)]), change]
    if change.cuts is not None:
        after = held_at_start(asked, at) or after
        plan, version = _in_plan(catalog, after, plan, version)
    to_come = _to_come(conn, subscription, asked)
    timetable = Timetable((subscription.segment, *to_come))
    moved = schedules.moved(subscription.timetable, timetable)
    if after == before and moved is None:
        raise Conflict(
            f"subscription {subscription.id} holds that already",
            code=ErrorCode.CHANGE_NOTHING,
            subscription_id=subscription.id,
        )
    _check_kept(version, after)
    changed_addons.check_fit(after, addons)
    plan_before = catalog[before.plan]
    return ChangedTerms(
        before,
        before_version,
        plan_before,
        after,
        version,
        plan,
        change,
        addons,
        asked,
        to_come,
        moved,
    )


def _billing_day(subscription: Subscription, order: ChangeOrder) -> int | None:
    """Return the billing day that an order asks for; None where periods begin on it as they are."""
    day = order.billing_day
    if day is None or order.plan or order.zone or subscription.segments_to_come:
        return day
    return None if schedules.begins_already(subscription.schedule, day) else day


def _to_come(
    conn: Connection,
    subscription: Subscription,
    asked: Sequence[ItemChange],
) -> tuple[Segment, ...]:
    """Return the segments that haven't begun, with those of the last change."""
    if asked[-1].schedule is None:
        return subscription.timetable.segments[1:]
    last_start = schedules.last_billed_start(conn, subscription)
    return schedules.to_come(subscription, asked, last_start)


def _cuts(conn: Connection, subscription: Subscription, change: ItemChange) -> int | None:
    """Return the number of the cycle that a change cuts; None where it waits for a period's end.

    Only what is billed is cut. Raises: Conflict, where that cycle begins at this instant.
    """
    now, order = change.holds_from, change.schedule
    if change.applies is not Applies.NOW or order is None:
        return None
    cycle = cycles.last(conn, subscription.id)
    if cycle is None or cycle.kind not in BILLED_KINDS or not now < cycle.period_end:
        return None
    if not changes_schedule(subscription.schedule, order):
        return None
    if now <= cycle.period_start:
        raise Conflict(
            f"a period of subscription {subscription.id} begins at this instant",
            code=ErrorCode.CHANGE_PERIOD_BEGINS,
            subscription_id=subscription.id,
        )
    return cycle.n


def held_before_changes(subscription: Subscription, held: HeldTerms) -> ItemChange:
    """Return the row that precedes a subscription's first change: what it held until then."""
    return ItemChange(
        kind=DatedChangeKind.HELD,
        holds_from=subscription.created_at,
        plan=held.plan,
        version=held.version,
        items=held.items,
        addons=held.addons,
    )


def _in_plan(
    catalog: Mapping[str, Plan], held: HeldTerms, plan: Plan, version: PlanVersion
) -> tuple[Plan, PlanVersion]:
    """Return the plan and the version of what is held, where a scheduled change made it another."""
    if held.plan == plan.code:
        return plan, version
    plan = catalog[held.plan]
    return plan, next(each for each in plan.versions if each.effective == held.version)


def _check_kept(version: PlanVersion, after: HeldTerms) -> None:
    """Check the quantities that an item keeps from the plan before."""
    licensed = {item.code for item in version.sold if item.quantity is not None}
    ordered_items.check(version, {k: v for k, v in after.items.items() if k in licensed})


def _before(
    subscription: Subscription,
    held: Holdings,
    catalog: Mapping[str, Plan],
    applies: Applies,
    at: datetime,
) -> tuple[HeldTerms, PlanVersion]:
    rows, stored = held_now(subscription, held, catalog)
    terms = held_at_start(held.changes, at) if applies is Applies.PERIOD_END else None
    if terms is None:
        terms = rows
    subscription = held_terms.with_plan(subscription, terms)
    if applies is Applies.NOW:
        return terms, stored
    versions = catalog[subscription.plan].versions
    on = to_local(at, subscription.zone).date()
    return terms, version_for_period(versions, subscription.plan_version, on, at)


def held_now(
    subscription: Subscription, held: Holdings, catalog: Mapping[str, Plan]
) -> tuple[HeldTerms, PlanVersion]:
    """Return what the rows of a subscription say that it holds, and the version it is in."""
    versions = catalog[subscription.plan].versions
    stored = next(each for each in versions if each.effective == subscription.plan_version)
    return held_terms.of_rows(subscription, held.items, stored), stored


def _new_plan(
    conn: Connection,
    subscription: Subscription,
    catalog: Mapping[str, Plan],
    code: str,
    at: datetime,
) -> tuple[Plan, PlanVersion]:
    plan = catalog.get(code)
    if plan is None:
        raise NotFound(
            f"no plan {code!r} is published.{nearest(code, catalog)}",
            where="plan",
            code=ErrorCode.PLAN_NOT_PUBLISHED,
            plan=code,
        )
    local = to_local(at, subscription.zone)
    refuse_retired(plan, local)
    if code != subscription.plan:
        had_before(conn, subscription.customer_id, plan)
    try:
        version = version_for_new(plan.versions, local.date())
    except NoVersion as error:
        raise BadInput(
            f"plan {code}: {error}",
            where="plan",
            code=ErrorCode.VERSION_NOT_ON_SALE,
            first=min(each.effective for each in plan.versions),
        ) from error
    return plan, version
