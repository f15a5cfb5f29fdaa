"""Starting a subscription: look up the terms, compute the first boundary, insert one row.

The scheduler opens the first cycle, like every other one.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from math import ceil
from uuid import UUID

from sqlalchemy import Connection

from billing.crash_points import CrashPoint, marked
from billing.errors import BadInput, Conflict, ErrorCode, NotFound
from billing.flows.coupons import redeeming
from billing.flows.customers.customers import existing_customer, refuse_anything_like_a_card
from billing.flows.cycles.skipping import skip_missed
from billing.flows.subscriptions import ordered_addons, ordered_items
from billing.flows.subscriptions.schedules import check_zone
from billing.ids import new_id
from billing.plans.currencies import charge_limit
from billing.plans.terms import NoVersion, Plan, PlanVersion, version_for_new
from billing.rules.actor import Actor
from billing.rules.money import Money
from billing.rules.periods import Anchor, Schedule, ScheduleError, nth, to_local
from billing.rules.subscriptions import Status, SubscriptionEventKind, initial
from billing.rules.texts import nearest
from billing.store.subscriptions import addons, customers, items, plans, subscriptions
from billing.store.subscriptions.customers import Customer
from billing.store.transactions import Transactions

STARTS_BETWEEN = range(2000, 2101)
"""The years in which a subscription may start."""
# Crockford's base 32 without vowels: no id spells a word, and 0 can't be read as O.
_LETTERS = "0123456789BCDFGHJKMNPQRSTVWXYZ"


@dataclass(frozen=True, slots=True)
class SubscriptionOrder:
    """What a customer subscribes to. `starts` is civil time in `zone`; None means now.

    `quantity` is that of a plan with a single price; `items` are quantities by item, where the plan
    sells several, and of add-ons. What isn't named has its default; an add-on isn't held.

    `provider` is the account that it is collected over, None that of its customer. One that is
    `imported` began elsewhere: the periods that have begun by now were billed there.
    """

    customer: str
    plan: str
    currency: str
    quantity: int = 1
    zone: str = "UTC"
    starts: datetime | None = None
    external_id: str | None = None
    trial: bool = True
    imported: bool = False
    provider: str | None = None
    items: Mapping[str, int] = field(default_factory=dict)
    coupons: tuple[str, ...] = ()
    """The coupons that it redeems; they hold from its first invoice on."""


def subscribe(
    engine: Transactions, order: SubscriptionOrder, *, now: datetime, actor: Actor
) -> UUID:
    """Create a subscription and return its id. Raises `NotFound`, `BadInput`, `Conflict`."""
    refuse_anything_like_a_card(
        customer=order.customer,
        plan=order.plan,
        external_id=order.external_id,
        coupons=" ".join(order.coupons),
    )
    if not 1 <= order.quantity <= 1_000_000:
        raise BadInput(f"a quantity is from 1 to 1,000,000, not {order.quantity}", where="quantity")
    with marked(CrashPoint.SUBSCRIBED), engine.begin() as conn:
        customer = existing_customer(conn, order.customer)
        plans.hold(conn)
        published = plans.published(conn)
        plan = published.get(order.plan)
        if plan is None:
            raise NotFound(
                f"no plan {order.plan!r} is published.{nearest(order.plan, published)}",
                where="plan",
                code=ErrorCode.PLAN_NOT_PUBLISHED,
                plan=order.plan,
            )
        had = had_before(conn, customer.id, plan)
        if plan.trial_once and had:
            order = replace(order, trial=False)
        schedule, version = _schedule(order, plan, now)
        on = schedule.anchor.local.date()
        known_addons = addons.published(conn) if order.items else {}
        asked, added_on = ordered_addons.split(order.items, plan, known_addons, on)
        held = ordered_items.quantities(version, order.quantity, asked)
        price = ordered_items.price_of(version, order.currency, held)
        price += ordered_addons.price_of(added_on, order.currency)
        _check_amount(plan, Money(ceil(price), order.currency))
        method = method_at(conn, customer, order.provider)
        costs = price or any(item.meter is not None for item in version.sold)
        if schedule.trial is None and method is None and costs:
            there = "" if order.provider is None else f" at account {order.provider}"
            raise BadInput(
                f"customer {order.customer!r} has no payment method{there}",
                where="customer",
                code=ErrorCode.PAYMENT_METHOD_MISSING,
                customer=order.customer,
            )
        first = nth(schedule, 0)
        subscription_id = new_id()
        added = subscriptions.add(
            conn,
            {
                "id": subscription_id,
                "external_id": order.external_id,
                "customer_id": customer.id,
                "plan": plan.code,
                "plan_version": version.effective,
                "currency": order.currency,
                "quantity": order.quantity,
                "invoice_prefix": "".join(secrets.choice(_LETTERS) for _ in range(10)),
                "status": initial(
                    schedule.trial is not None, starts_later=first.period.start > now
                ),
                "anchor_local": schedule.anchor.local,
                "zone": order.zone,
                "every": str(schedule.cadence),
                "trial": str(schedule.trial) if schedule.trial else None,
                "anchor_day": schedule.anchor_day,
                "anchor_month": schedule.anchor_month,
                "anchor_weekday": schedule.anchor_weekday,
                "next_n": 0,
                "renews_at": first.period.start,
                "created_at": now,
                "provider": order.provider,
            },
        )
        if not added:
            raise Conflict(
                f"a subscription with external id {order.external_id!r} exists",
                where="external_id",
                code=ErrorCode.SUBSCRIPTION_EXISTS,
                external_id=order.external_id,
            )
        items.add(conn, ordered_items.held_rows(subscription_id, version, held))
        items.add(conn, ordered_addons.held_rows(subscription_id, added_on))
        subscriptions.note(
            conn,
            subscription_id,
            at=now,
            kind=SubscriptionEventKind.CREATED,
            actor=actor,
            plan=plan.code,
            plan_version=version.effective,
            currency=order.currency,
            starts=first.period.start,
            **_import_history(conn, subscription_id, order, now),
        )
        _redeem(conn, subscription_id, order, min(now, first.period.start), now, actor)
    return subscription_id


def _redeem(
    conn: Connection,
    subscription_id: UUID,
    order: SubscriptionOrder,
    at: datetime,
    now: datetime,
    actor: Actor,
) -> None:
    """Redeem the coupons of an order, from the subscription's beginning on."""
    if order.coupons:
        subscription = subscriptions.lock(conn, subscription_id)
        assert subscription is not None, "it was inserted just now"
        for code in order.coupons:
            redeeming.redeem_for(conn, subscription, code, at=at, now=now, actor=actor)


def method_at(conn: Connection, customer: Customer, provider: str | None) -> UUID | None:
    """Return what a customer is charged with over an account that is named, or else over theirs.

    Raises `BadInput` where they aren't at the account.
    """
    if provider is None:
        return customer.default_payment_method_id
    at = customers.account(conn, customer.id, provider)
    if at is None:
        raise BadInput(
            f"customer {customer.id} is not at account {provider}",
            where="provider",
            code=ErrorCode.CUSTOMER_ELSEWHERE,
            customer=customer.id,
            provider=provider,
        )
    return at.payment_method_id


def _import_history(
    conn: Connection, subscription_id: UUID, order: SubscriptionOrder, now: datetime
) -> dict[str, object]:
    """Pass over the periods that were billed elsewhere; return the fact from when on it is billed.

    The trial that runs by now goes on as it is.
    """
    if not order.imported:
        return {}
    subscription = subscriptions.lock(conn, subscription_id)
    assert subscription is not None, "it was inserted just now"
    skip_missed(conn, subscription, now, begun=True)
    moved_on = subscriptions.lock(conn, subscription_id)
    assert moved_on is not None
    assert moved_on.renews_at is not None, "it has a next period"
    if moved_on.next_n > 1 or (moved_on.next_n == 1 and moved_on.trial is None):
        subscriptions.change(conn, subscription_id, status=Status.ACTIVE)
    return {"billed_from": moved_on.renews_at}


def had_before(conn: Connection, customer_id: UUID, plan: Plan) -> bool:
    """Tell whether a customer had the plan before, where that matters. Raises `Conflict`.

    One that was canceled before its first period doesn't count. The customer's row stays locked, so
    that of two orders at once the second one finds the first.
    """
    if not (plan.one_per_customer or plan.trial_once):
        return False
    customers.lock(conn, customer_id)
    held = subscriptions.of_plan(conn, customer_id, plan.code)
    going_on = [each.id for each in held if each.status is not Status.CANCELED]
    if plan.one_per_customer and going_on:
        raise Conflict(
            f"the customer has a subscription to plan {plan.code} already",
            where="plan",
            code=ErrorCode.SUBSCRIBED_ALREADY,
            plan=plan.code,
            subscription_id=going_on[0],
        )
    return any(each.next_n > 0 or each.status is not Status.CANCELED for each in held)


def _check_start(order: SubscriptionOrder) -> None:
    check_zone(order.zone)
    if order.imported and order.starts is None:
        raise BadInput("what is imported has a start", where="starts")
    if order.starts is not None and order.starts.year not in STARTS_BETWEEN:
        raise BadInput(
            f"a subscription starts from {STARTS_BETWEEN[0]} to {STARTS_BETWEEN[-1]},"
            f" not in {order.starts.year}",
            where="starts",
        )


def _schedule(order: SubscriptionOrder, plan: Plan, now: datetime) -> tuple[Schedule, PlanVersion]:
    _check_start(order)
    try:
        local = order.starts or to_local(now, order.zone).replace(microsecond=0)
        refuse_retired(plan, local)
        version = _version(order, plan, local)
        schedule = Schedule(
            anchor=Anchor(local, order.zone),
            cadence=version.every,
            trial=version.trial if order.trial else None,
            anchor_day=version.anchor_day,
            anchor_month=version.anchor_month,
            anchor_weekday=version.anchor_weekday,
        )
        nth(schedule, 1)  # a first period and another one lie within the calendar
    except ScheduleError as error:
        raise BadInput(str(error), where="zone", code=ErrorCode.ZONE_UNKNOWN) from error
    except NoVersion as error:
        raise BadInput(
            f"plan {plan.code}: {error}",
            where="starts",
            code=ErrorCode.VERSION_NOT_ON_SALE,
            first=min(version.effective for version in plan.versions),
        ) from error
    return schedule, version


def _version(order: SubscriptionOrder, plan: Plan, local: datetime) -> PlanVersion:
    """Return the terms on that day; those of an earlier day, elsewhere, are the first ones here."""
    first = min(plan.versions, key=lambda version: version.effective)
    if order.imported and local.date() < first.effective:
        return first
    return version_for_new(plan.versions, local.date())


def refuse_retired(plan: Plan, local: datetime) -> None:
    """Raise `BadInput` where nobody subscribes to a plan any more, at a civil time."""
    if plan.retired is not None and local.date() >= plan.retired:
        raise BadInput(
            f"plan {plan.code} is retired since {plan.retired}",
            where="plan",
            code=ErrorCode.PLAN_RETIRED,
            plan=plan.code,
        )


def _check_amount(plan: Plan, total: Money) -> None:
    """Refuse what no provider would ever charge: every payment of it would be refused."""
    most = Money(charge_limit(total.currency), total.currency)
    if total.amount > most.amount:
        raise BadInput(
            f"that much of plan {plan.code} is {total}, above the most that can be charged at"
            f" once, {most}",
            where="quantity",
            code=ErrorCode.AMOUNT_ABOVE_MAXIMUM,
            minor_units=most.amount,
            maximum=most,
        )
