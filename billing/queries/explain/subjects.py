"""Who and what: the payment or subscription that is explained, with links to what it belongs to."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from billing.queries.explain.billed import Billed
from billing.rules.money import Money
from billing.rules.payments import State
from billing.rules.subscriptions import Status
from billing.store.payments import payment_history
from billing.store.payments.payments import Payment
from billing.store.subscriptions import customers, subscriptions
from billing.store.subscriptions.subscriptions import Subscription


@dataclass(frozen=True, slots=True)
class CustomerLink:
    """A customer, and the name that people know them by."""

    id: UUID
    external_id: str | None
    name: str


@dataclass(frozen=True, slots=True)
class SubscriptionLink:
    """A subscription, with its external id."""

    id: UUID
    external_id: str | None


@dataclass(frozen=True, slots=True)
class CycleLink:
    """A cycle and its period."""

    id: UUID
    n: int
    starts: datetime
    ends: datetime


@dataclass(frozen=True, slots=True)
class PaymentFacts:
    """A payment and what it is for; a one-off payment has neither cycle nor subscription."""

    id: UUID
    amount: Money
    customer: CustomerLink
    invoice_id: UUID | None
    subscription: SubscriptionLink | None
    cycle: CycleLink | None
    state: State
    since: datetime


@dataclass(frozen=True, slots=True)
class LastEvent:
    """What happened to a subscription last."""

    kind: str
    words: str | None
    facts: Mapping[str, Any]
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True)
class SubscriptionFacts:
    """A subscription: what it is for, and how it stands."""

    link: SubscriptionLink
    customer: CustomerLink
    plan: str
    currency: str
    quantity: int
    created_at: datetime
    status: Status
    last_event: LastEvent | None


def payment_facts(conn: Connection, billed: Billed) -> PaymentFacts:
    """Return who a payment collects from, and for what."""
    payment, subscription, cycle = billed.payment, billed.subscription, billed.cycle
    assert payment is not None
    return PaymentFacts(
        id=payment.id,
        amount=payment.money,
        customer=_customer(conn, payment.customer_id),
        invoice_id=payment.invoice_id,
        subscription=None if subscription is None else _link(subscription),
        cycle=None
        if cycle is None
        else CycleLink(cycle.id, cycle.n, cycle.period_start, cycle.period_end),
        state=payment.state,
        since=_state_since(conn, payment),
    )


def subscription_facts(conn: Connection, subscription: Subscription) -> SubscriptionFacts:
    """Return what a subscription is for, and what happened to it last."""
    events = subscriptions.events(conn, subscription.id)
    last = events[-1] if events else None
    return SubscriptionFacts(
        link=_link(subscription),
        customer=_customer(conn, subscription.customer_id),
        plan=subscription.plan,
        currency=subscription.currency,
        quantity=subscription.quantity,
        created_at=subscription.created_at,
        status=subscription.status,
        last_event=None
        if last is None
        else LastEvent(last.kind, last.words, last.detail, last.actor, last.at),
    )


def _customer(conn: Connection, customer_id: UUID) -> CustomerLink:
    customer = customers.find(conn, str(customer_id))
    assert customer is not None, "customers are never deleted"
    return CustomerLink(customer.id, customer.external_id, customer.name)


def _link(subscription: Subscription) -> SubscriptionLink:
    return SubscriptionLink(subscription.id, subscription.external_id)


def _state_since(conn: Connection, payment: Payment) -> datetime:
    steps = payment_history.transitions(conn, payment.id)
    return steps[-1].at if steps else payment.created_at
