"""Why a subscription is or isn't charged now, and what its next period is."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from billing.plans.items import BASE, Item
from billing.plans.terms import PlanVersion, version_for_period
from billing.rules.item_changes import HeldTerms, held_at_start
from billing.rules.money import Money
from billing.rules.periods import Kind, to_local
from billing.rules.subscriptions import Status, comes_first, is_paused, unpaid_from
from billing.store.payments import payment_steps, tax_calls
from billing.store.subscriptions import changes, item_changes, items, plans
from billing.store.subscriptions.subscriptions import Subscription


@dataclass(frozen=True, slots=True)
class ParkedFacts:
    """Since when something waits for a person, and why."""

    at: datetime
    reason: str | None
    error: str | None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TaxesAsked:
    """Taxes that a provider was asked for and hasn't computed yet; `why` is what it said last."""

    provider: str
    asked_at: datetime
    sends: int
    why: str | None


@dataclass(frozen=True, slots=True)
class StandingFacts:
    """The state of a subscription at an instant; `renews_at` is when its period `next_n` begins."""

    now: datetime
    subscription_id: UUID
    status: Status
    parked: ParkedFacts | None
    canceled_at: datetime | None
    renews_at: datetime | None
    next_n: int
    cancels_at: datetime | None
    unpaid_from: datetime | None = None
    """From when on it is unpaid, because collecting an invoice was given up."""
    collecting: int = 0
    """Invoices of before whose payments are still tried."""
    opens_at: datetime | None = None
    """When its next cycle is opened: later than its period begins where usage has to arrive."""
    taxes: TaxesAsked | None = None
    """What its next cycle waits for, because a provider computes its taxes."""

    @property
    def is_due(self) -> bool:
        """Whether its next period has begun and has no cycle yet."""
        return self.renews_at is not None and self.renews_at <= self.now and not self.is_ending

    @property
    def is_waiting(self) -> bool:
        """Whether its next period has begun and its cycle waits until usage has arrived."""
        return self.is_due and self.opens_at is not None and self.now < self.opens_at

    @property
    def is_ending(self) -> bool:
        """Whether no further period is opened, because its end comes first."""
        return comes_first(self.cancels_at, self.renews_at)


@dataclass(frozen=True, slots=True)
class NextPeriodFacts:
    """The period that is opened next, priced as published now.

    `effective` is None where the plan is not published, `price` where that version has none, or has
    `items`. `quantities` are what it holds then by item and add-on, with the changes that are
    scheduled; of what was charged once there is none.
    """

    n: int
    kind: Kind
    is_stub: bool
    starts: datetime
    ends: datetime
    renews_at: datetime
    is_paused: bool
    plan: str
    currency: str
    effective: date | None
    price: Money | None
    items: tuple[Item, ...] = ()
    quantities: Mapping[str, int] = field(default_factory=dict)


def standing_facts(conn: Connection, subscription: Subscription, now: datetime) -> StandingFacts:
    """Return the state of a subscription now."""
    at = subscription.parked_at
    return StandingFacts(
        now=now,
        subscription_id=subscription.id,
        status=subscription.status,
        parked=None
        if at is None
        else ParkedFacts(
            at, subscription.parked_reason, subscription.parked_error, subscription.parked_facts
        ),
        canceled_at=subscription.canceled_at,
        renews_at=subscription.renews_at,
        next_n=subscription.next_n,
        cancels_at=subscription.cancels_at,
        unpaid_from=unpaid_from(changes.of(conn, subscription.id)),
        collecting=payment_steps.collecting(conn, subscription.id),
        opens_at=subscription.opens_at,
        taxes=_taxes(conn, subscription.id),
    )


def _taxes(conn: Connection, subscription_id: UUID) -> TaxesAsked | None:
    call = tax_calls.waited_for(conn, subscription_id)
    if call is None:
        return None
    return TaxesAsked(call.provider, call.asked_at, call.sends, call.error_message)


def next_period_facts(conn: Connection, subscription: Subscription) -> NextPeriodFacts | None:
    """Return the period that is opened next, or None where nothing is scheduled."""
    asked = changes.of(conn, subscription.id)
    ends_first = any(
        comes_first(at, subscription.renews_at)
        for at in (subscription.cancels_at, unpaid_from(asked))
    )
    if subscription.renews_at is None or ends_first:
        return None
    scheduled, renews_at = subscription.next_period, subscription.renews_at
    held = held_at_start(item_changes.of(conn, subscription.id), scheduled.period.start)
    subscription = _in_plan(subscription.at_period(scheduled.n), held)
    version = _version(conn, subscription, scheduled.period.start)
    price = None if version is None else version.prices.get(subscription.currency)
    return NextPeriodFacts(
        n=subscription.next_n,
        kind=scheduled.kind,
        is_stub=scheduled.part != scheduled.whole,
        starts=scheduled.period.start,
        ends=scheduled.period.end,
        renews_at=renews_at,
        is_paused=is_paused(asked, scheduled.period.start),
        plan=subscription.plan,
        currency=subscription.currency,
        effective=None if version is None else version.effective,
        price=None if price is None else Money(price, subscription.currency),
        items=() if version is None else version.items,
        quantities={} if version is None else _quantities(conn, subscription, held, version),
    )


def _in_plan(subscription: Subscription, held: HeldTerms | None) -> Subscription:
    """Return a subscription in the plan that it holds then, in the later of both versions."""
    if held is None:
        return subscription
    version = held.version_for(subscription.plan, subscription.plan_version)
    return replace(subscription, plan=held.plan, plan_version=version)


def _quantities(
    conn: Connection, subscription: Subscription, held: HeldTerms | None, version: PlanVersion
) -> Mapping[str, int]:
    rows = items.of_subscription(conn, subscription.id)
    if held is not None:
        quantities, addons = held.items, frozenset(held.addons)
    else:
        quantities = {each.item: each.quantity for each in rows}
        addons = frozenset(each.item for each in rows if each.addon_version is not None)
    licensed = {each.code for each in version.items if each.quantity is not None} | addons
    if not version.items:
        quantities = {BASE: subscription.quantity, **quantities}
        licensed |= {BASE}
    return {code: n for code, n in quantities.items() if code in licensed and n}


def _version(conn: Connection, subscription: Subscription, starts: datetime) -> PlanVersion | None:
    plan = plans.published(conn).get(subscription.plan)
    if plan is None:
        return None
    starts_on = to_local(starts, subscription.zone).date()
    return version_for_period(plan.versions, subscription.plan_version, starts_on, starts)
