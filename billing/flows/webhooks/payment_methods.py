"""Events about payment methods and customers: payments that wait try a new method at once.

    attached    kept; the newest one is charged from now on, and what waited for one is tried
    updated     what the customer recognises it by is written; if it changed, the same
    detached    nobody is charged with it any more
    customer    another default at the provider: taken over if it is new to us

An update that changes none of our columns retries nothing, so a repeated event is harmless.
"""

from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from billing.flows.context import Context
from billing.flows.customers.customers import keep_payment_method, retry_with_new_method
from billing.flows.webhooks.results import (
    Effects,
    EventOutcome,
    EventWaits,
    Handled,
    ObjectEvents,
    Waiting,
    only,
)
from billing.gateway import EventKind, PaymentMethodDetails
from billing.store.subscriptions import customers
from billing.store.subscriptions.customers import CustomerAccount, KnownPaymentMethod

# A flow of ours that attaches a method (perhaps for one charge) stores it a moment later.
_PATIENCE: Final = 2


def payment_method(context: Context, events: ObjectEvents) -> Effects:
    """A payment method was attached, updated or detached."""
    found = context.gateway.payment_method_by_id(events.object_id)
    if found is None:
        return only(EventOutcome.METHOD_NOT_KEPT)

    def write(conn: Connection) -> Handled:
        owner = found.provider_customer_id
        ours = (
            None if owner is None else customers.lock_by_provider_id(conn, context.account, owner)
        )
        known = customers.payment_method_by_token(conn, context.account, found.token)
        if known is not None:
            return _known(conn, known, found, context.clock.now())
        if owner is None:
            return Handled(EventOutcome.METHOD_NOT_KEPT)
        if ours is None:
            return Handled(EventOutcome.NOT_OURS)
        if EventKind.PAYMENT_METHOD_ATTACHED not in events.kinds:
            return Handled(EventOutcome.METHOD_NOT_KEPT)
        if events.tries < _PATIENCE:
            raise EventWaits(Waiting.METHOD_JUST_ATTACHED, found.token)
        return _new(conn, ours, found, events.at, context.clock.now())

    return write


def _known(
    conn: Connection, known: KnownPaymentMethod, found: PaymentMethodDetails, now: datetime
) -> Handled:
    if found.provider_customer_id != known.provider_customer_id:
        if known.is_default:
            customers.set_default(conn, known.customer_id, known.provider, None)
        return Handled(EventOutcome.METHOD_DETACHED, {"default": known.is_default})
    if (known.brand, known.last4, known.exp_month, known.exp_year) == (
        found.brand,
        found.last4,
        found.exp_month,
        found.exp_year,
    ):
        return Handled(EventOutcome.UNCHANGED)
    customers.change_payment_method(
        conn,
        known.id,
        now,
        brand=found.brand,
        last4=found.last4,
        exp_month=found.exp_month,
        exp_year=found.exp_year,
    )
    if not known.is_default:
        return Handled(EventOutcome.METHOD_UPDATED, {"default": False})
    return _now_charged(conn, EventOutcome.METHOD_UPDATED, known.customer_id, known.provider, now)


def _new(
    conn: Connection,
    customer: CustomerAccount,
    found: PaymentMethodDetails,
    attached_at: datetime,
    now: datetime,
) -> Handled:
    """Keep a payment method; its account charges it unless a younger one is known already.

    Which account collects from the customer is for the customer to say, and no event changes it.
    """
    ours, provider = customer.customer_id, customer.provider
    others = [row for row in customers.payment_methods_of(conn, ours) if row.provider == provider]
    # The provider's instants are whole seconds.
    youngest = max((row.created_at.replace(microsecond=0) for row in others), default=attached_at)
    if attached_at < youngest:
        keep_payment_method(conn, ours, provider, found, at=attached_at, make_default=False)
        return Handled(EventOutcome.METHOD_ADDED, {"default": False})
    keep_payment_method(conn, ours, provider, found, at=attached_at)
    return _now_charged(conn, EventOutcome.METHOD_ADDED, ours, provider, now)


def _now_charged(
    conn: Connection, outcome: EventOutcome, customer_id: UUID, provider: str, now: datetime
) -> Handled:
    """Retry the payments that waited for a payment method at this account."""
    retried = retry_with_new_method(conn, customer_id, provider, now)
    return Handled(outcome, {"default": True, "payments_retried": retried})


def customer(context: Context, events: ObjectEvents) -> Effects:
    """A customer was changed: only the default payment method there matters here."""
    with context.engine.connect() as conn:
        if not customers.is_ours(conn, context.account, events.object_id):
            return only(EventOutcome.NOT_OURS)
    found = context.gateway.customer_by_id(events.object_id)
    if found is None or found.deleted:
        return only(EventOutcome.OBJECT_GONE)
    token = found.default_payment_method
    if token is None:
        return only(EventOutcome.UNCHANGED)
    details = context.gateway.payment_method_by_id(token)
    if details is None or details.provider_customer_id != found.id:
        return only(EventOutcome.METHOD_NOT_KEPT)
    return lambda conn: _take_over_default(conn, context, found.id, details)


def _take_over_default(
    conn: Connection, context: Context, provider_customer_id: str, details: PaymentMethodDetails
) -> Handled:
    now = context.clock.now()
    ours = customers.lock_by_provider_id(conn, context.account, provider_customer_id)
    assert ours is not None, "customers are never deleted"
    known = customers.payment_method_by_token(conn, context.account, details.token)
    if known is None:
        keep_payment_method(conn, ours.customer_id, ours.provider, details, at=now)
        return _now_charged(conn, EventOutcome.METHOD_ADDED, ours.customer_id, ours.provider, now)
    if known.is_default:
        return Handled(EventOutcome.UNCHANGED)
    if ours.payment_method_id is not None:
        return Handled(EventOutcome.DEFAULT_KEPT)
    customers.set_default(conn, ours.customer_id, ours.provider, known.id)
    return _now_charged(conn, EventOutcome.DEFAULT_RESTORED, ours.customer_id, ours.provider, now)
