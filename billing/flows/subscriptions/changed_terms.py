"""What a change asks for: the terms before and after it, and what they make of the price."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.errors import BadInput, Conflict, ErrorCode, NotFound
from billing.flows.cycles import held_terms
from billing.flows.cycles.charging import Holdings
from billing.flows.subscriptions import changed_addons, ordered_items
from billing.flows.subscriptions.subscribing import had_before, refuse_retired
from billing.plans.addons import Addon
from billing.plans.items import BASE
from billing.plans.terms import (
    Cadence,
    NoVersion,
    Plan,
    PlanVersion,
    version_for_new,
    version_for_period,
)
from billing.rules.change_states import PriceMove
from billing.rules.item_changes import Applies, HeldTerms, ItemChange, changed, held_at_start
from billing.rules.periods import to_local
from billing.rules.subscriptions import DatedChangeKind
from billing.rules.texts import nearest
from billing.store.subscriptions.subscriptions import Subscription


@dataclass(frozen=True, slots=True)
class ChangeOrder:
    """What a subscription is to hold: another plan, or other quantities.

    `quantity` is that of a plan with a single price, `items` are quantities by item or add-on, of
    which 0 removes one. Without
    `applies`, the plan says when it begins to hold: `up` where it costs more, else `down`.
    """

    plan: str | None = None
    quantity: int | None = None
    items: Mapping[str, int] = field(default_factory=dict)
    applies: Applies | None = None

    @property
    def quantities(self) -> Mapping[str, int]:
        """What it asks for by item."""
        return self.items if self.quantity is None else {**self.items, BASE: self.quantity}


@dataclass(frozen=True, slots=True)
class ChangedTerms:
    """What is held before and after a change that holds from an instant, each in its version."""

    before: HeldTerms
    before_version: PlanVersion
    plan_before: Plan
    after: HeldTerms
    version: PlanVersion
    plan: Plan
    change: ItemChange
    addons: Mapping[str, Addon]

    def move(self, currency: str) -> PriceMove:
        """Return what the change does to the price of a whole period. Raises: BadInput."""
        was = ordered_items.recurring_price(self.before_version, currency, self.before.items)
        was += changed_addons.recurring_price(self.before, self.addons, currency)
        becomes = ordered_items.recurring_price(self.version, currency, self.after.items)
        becomes += changed_addons.recurring_price(self.after, self.addons, currency)
        if self.change.plan is not None:
            return PriceMove.PLAN_UP if becomes > was else PriceMove.PLAN_DOWN
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
    change = ItemChange(
        kind=DatedChangeKind.QUANTITY if order.plan is None else DatedChangeKind.PLAN,
        holds_from=at,
        change_id=change_id,
        applies=applies,
        plan=None if order.plan is None else plan.code,
        version=None if order.plan is None else version.effective,
        items=order.quantities,
        addons=added,
        defaults={} if order.plan is None else ordered_items.defaults(version),
    )
    after = changed(before, change)
    if after == before:
        raise Conflict(
            f"subscription {subscription.id} holds that already",
            code=ErrorCode.CHANGE_NOTHING,
            subscription_id=subscription.id,
        )
    _check_kept(version, after)
    changed_addons.check_fit(after, addons)
    plan_before = catalog[before.plan]
    return ChangedTerms(before, before_version, plan_before, after, version, plan, change, addons)


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
    stored = _held_version(catalog, subscription)
    rows = held_terms.of_rows(subscription, held.items, stored)
    terms = held_at_start(held.changes, at) if applies is Applies.PERIOD_END else None
    if terms is None:
        terms = rows
    subscription = held_terms.with_plan(subscription, terms)
    if applies is Applies.NOW:
        return terms, stored
    versions = catalog[subscription.plan].versions
    on = to_local(at, subscription.zone).date()
    return terms, version_for_period(versions, subscription.plan_version, on, at)


def _held_version(catalog: Mapping[str, Plan], subscription: Subscription) -> PlanVersion:
    versions: Sequence[PlanVersion] = catalog[subscription.plan].versions
    return next(each for each in versions if each.effective == subscription.plan_version)


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
    _check_schedule(subscription, version)
    return plan, version


def _check_schedule(subscription: Subscription, version: PlanVersion) -> None:
    """Refuse a plan whose periods are others than those of the subscription."""
    anchors = {
        "day": (version.anchor_day, subscription.anchor_day),
        "month": (version.anchor_month, subscription.anchor_month),
        "weekday": (version.anchor_weekday, subscription.anchor_weekday),
    }
    others = any(asked not in (None, held) for asked, held in anchors.values())
    if version.every != Cadence.parse(subscription.every) or others:
        raise Conflict(
            f"plan {version.plan} is billed every {version.every}, on days of its own, and"
            f" subscription {subscription.id} every {subscription.every}",
            where="plan",
            code=ErrorCode.CHANGE_CADENCE,
            plan=version.plan,
        )
