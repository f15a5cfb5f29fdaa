"""Redeeming a coupon for a subscription, or for all of a customer."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError

from billing.crash_points import CrashPoint, marked
from billing.errors import BadInput, Conflict, ErrorCode, NotFound
from billing.ids import new_id
from billing.pan import refuse_card_number
from billing.plans.coupon_terms import coupon_digest
from billing.plans.coupons import Coupon
from billing.rules.actor import Actor
from billing.rules.periods import to_local
from billing.rules.subscriptions import SubscriptionEventKind
from billing.rules.texts import nearest
from billing.store.subscriptions import coupons, customers, plans, subscriptions
from billing.store.subscriptions.coupons import Redemption
from billing.store.subscriptions.subscriptions import Subscription
from billing.store.transactions import Transactions


@dataclass(frozen=True, slots=True)
class CouponOrder:
    """A coupon to be redeemed for one subscription, or for all of one customer."""

    coupon: str
    subscription: str | None = None
    customer: str | None = None
    why: str = ""


def redeem(engine: Transactions, order: CouponOrder, *, now: datetime, actor: Actor) -> UUID:
    """Redeem a coupon and return the redemption's id; it takes off from the next invoice on.

    Raises `NotFound`, `BadInput`, `Conflict`.
    """
    with marked(CrashPoint.COUPON_REDEEMED), engine.begin() as conn:
        return _redeem(conn, order, now, actor)


def check(engine: Engine, order: CouponOrder, *, now: datetime, actor: Actor) -> None:
    """Raise what redeeming a coupon would raise, and change nothing."""
    with engine.connect() as conn:  # nothing commits it
        _redeem(conn, order, now, actor)


def _redeem(conn: Connection, order: CouponOrder, now: datetime, actor: Actor) -> UUID:
    refuse_card_number(order.coupon, "coupon")
    refuse_card_number(order.why, "reason")
    if order.subscription is not None:
        subscription = _subscription(conn, order.subscription)
        made = redeem_for(conn, subscription, order.coupon, at=now, now=now, actor=actor)
        subscriptions.note(
            conn,
            subscription.id,
            at=now,
            kind=SubscriptionEventKind.COUPON_REDEEMED,
            actor=actor,
            coupon=order.coupon,
            why=order.why,
        )
        return made
    customer = None if order.customer is None else customers.find(conn, order.customer)
    if customer is None:
        raise NotFound(
            f"no customer {order.customer!r}",
            where="customer",
            code=ErrorCode.CUSTOMER_NOT_FOUND,
            customer=order.customer,
        )
    coupon = _published(conn, order.coupon)
    _check_day(coupon, now, "UTC")
    return _add(conn, coupon, customer.id, None, now, actor)


def redeem_for(
    conn: Connection,
    subscription: Subscription,
    code: str,
    *,
    at: datetime,
    now: datetime,
    actor: Actor,
) -> UUID:
    """Redeem a coupon for a subscription in the caller's transaction, counted from `at`.

    Raises `NotFound`, `BadInput`, `Conflict`.
    """
    coupon = _published(conn, code)
    _check_day(coupon, now, subscription.zone)
    if subscription.has_ended(now):
        raise Conflict(
            "a subscription that has ended has no invoice to take something off",
            where="subscription",
            code=ErrorCode.SUBSCRIPTION_ENDED,
        )
    if coupon.percent is None and subscription.currency not in coupon.amounts:
        raise BadInput(
            f"coupon {code} takes off nothing in {subscription.currency}",
            where="coupon",
            code=ErrorCode.COUPON_CURRENCY,
            currencies=tuple(sorted(coupon.amounts)),
        )
    _check_items(conn, coupon, subscription)
    return _add(conn, coupon, subscription.customer_id, subscription.id, at, actor)


def _subscription(conn: Connection, reference: str) -> Subscription:
    found = subscriptions.find(conn, reference)
    locked = None if found is None else subscriptions.lock(conn, found.id)
    if locked is None:
        raise NotFound(
            f"no subscription {reference!r}",
            where="subscription",
            code=ErrorCode.SUBSCRIPTION_NOT_FOUND,
            subscription=reference,
        )
    return locked


def _published(conn: Connection, code: str) -> Coupon:
    known = coupons.published(conn)
    if code not in known:
        raise NotFound(
            f"no coupon {code!r} is published.{nearest(code, known)}",
            where="coupon",
            code=ErrorCode.COUPON_NOT_FOUND,
            coupon=code,
        )
    return known[code]


def _check_day(coupon: Coupon, now: datetime, zone: str) -> None:
    if coupon.until is not None and to_local(now, zone).date() > coupon.until:
        raise Conflict(
            f"coupon {coupon.code} could be redeemed until {coupon.until}",
            where="coupon",
            code=ErrorCode.COUPON_EXPIRED,
            coupon=coupon.code,
        )


def _check_items(conn: Connection, coupon: Coupon, subscription: Subscription) -> None:
    if coupon.on is None:
        return
    plan = plans.published(conn)[subscription.plan]
    sold = {item.code for version in plan.versions for item in version.sold}
    if not sold.intersection(coupon.on):
        raise BadInput(
            f"coupon {coupon.code} is for {', '.join(coupon.on)}, which plan {plan.code} doesn't"
            " sell",
            where="coupon",
            code=ErrorCode.COUPON_DOES_NOT_FIT,
            plan=plan.code,
        )


def _add(
    conn: Connection,
    coupon: Coupon,
    customer_id: UUID,
    subscription_id: UUID | None,
    at: datetime,
    actor: Actor,
) -> UUID:
    redemption = Redemption(
        id=new_id(),
        coupon=coupon.code,
        digest=coupon_digest(coupon),
        customer_id=customer_id,
        subscription_id=subscription_id,
        at=at,
        actor=str(actor),
    )
    try:
        with conn.begin_nested():
            coupons.redeem(conn, redemption)
    except IntegrityError as error:
        raise _refused(coupon, error) from error
    return redemption.id


def _refused(coupon: Coupon, error: IntegrityError) -> Conflict:
    if "redemptions_once" in str(error.orig):
        return Conflict(
            f"coupon {coupon.code} was redeemed for it before",
            where="coupon",
            code=ErrorCode.COUPON_REDEEMED_ALREADY,
            coupon=coupon.code,
        )
    return Conflict(
        f"coupon {coupon.code} was redeemed as often as it can be",
        where="coupon",
        code=ErrorCode.COUPON_USED_UP,
        coupon=coupon.code,
        limit=coupon.limit,
    )
