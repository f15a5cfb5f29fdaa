"""Moving a customer's payments to another account: what it does, and doing it.

    the payment method   attached there, where one is given (`customers.set_payment_method`)
    the account          collects from the customer, and from subscriptions that named another one
    waiting payments     are due at once

A payment follows when its next attempt is made (`billing.flows.payments.leaving`). One whose
outcome is unknown stays until it is known. Each step may be repeated: a command that died half-way
is finished by running it again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.crash_points import CrashPoint, marked
from billing.errors import BadInput, ErrorCode
from billing.flows.audit import audited
from billing.flows.context import Context
from billing.flows.customers.customers import (
    existing_customer,
    retry_with_new_method,
    set_payment_method,
)
from billing.rules.actor import Actor
from billing.rules.money import Money
from billing.rules.moving import Follows, follows
from billing.rules.payments import AttemptOutcome, CallKind, State
from billing.rules.subscriptions import SubscriptionEventKind
from billing.store.payments import moving, provider_calls
from billing.store.payments.moving import MovablePayment
from billing.store.subscriptions import customers, subscriptions
from billing.store.subscriptions.subscriptions import Subscription


@dataclass(frozen=True, slots=True)
class PaymentMove:
    """A payment that is still collected, and what becomes of it."""

    payment_id: UUID
    subscription_id: UUID | None
    amount: Money
    state: State
    provider: str
    follows: Follows


@dataclass(frozen=True, slots=True)
class SubscriptionMove:
    """A subscription that goes on at the new account; `named` is the account that it names now."""

    subscription_id: UUID
    plan: str
    named: str | None


@dataclass(frozen=True, slots=True)
class Move:
    """What moving a customer's payments does.

    `before` is the account that collects from them now; `payment_method_id` what they are charged
    with at the new one, None where a new payment method is given.
    """

    customer_id: UUID
    before: str
    to: str
    payment_method_id: UUID | None
    subscriptions: Sequence[SubscriptionMove]
    payments: Sequence[PaymentMove]


def plan(context: Context, customer: str, to: str, *, token: str | None) -> Move:
    """Return what moving will do, and change nothing.

    Raises `NotFound`; `BadInput` where the account isn't configured, or the customer has no payment
    method there and none is given.
    """
    context.gateways.named(to)
    with context.engine.connect() as conn:
        found = existing_customer(conn, customer)
        at = customers.account(conn, found.id, to)
        method = None if at is None or token is not None else at.payment_method_id
        if method is None and token is None:
            raise BadInput(
                f"customer {customer!r} has no payment method at account {to}",
                where="payment_method",
                code=ErrorCode.CUSTOMER_ELSEWHERE,
                customer=found.id,
                provider=to,
            )
        live = subscriptions.live_of(conn, found.id)
        return Move(
            found.id,
            found.provider,
            to,
            method,
            [SubscriptionMove(each.id, each.plan, each.provider) for each in live],
            [_move(each, to) for each in moving.movable(conn, found.id)],
        )


def _move(payment: MovablePayment, to: str) -> PaymentMove:
    return PaymentMove(
        payment.id,
        payment.subscription_id,
        Money(payment.amount, payment.currency),
        payment.state,
        payment.provider,
        follows(
            state=payment.state,
            is_there=payment.provider == to,
            has_open_call=payment.has_open_call,
            has_own_method=payment.has_own_method,
            is_parked=payment.is_parked,
            waits=payment.waits,
        ),
    )


def move(
    context: Context, customer: str, to: str, *, token: str | None, actor: Actor, why: str
) -> int:
    """Move a customer's payments; return how many are due at once. Safe to repeat.

    Raises as `plan` and `customers.set_payment_method`.
    """
    planned = plan(context, customer, to, token=token)
    made_due = 0
    if token is not None and not _was_given(context, planned.customer_id, to, token):
        _, made_due = set_payment_method(
            context, str(planned.customer_id), token, provider=to, make_default=False
        )
    now = context.clock.now()
    with audited(
        context.engine,
        actor=actor,
        action="customer.move_payments",
        subject=f"customer:{planned.customer_id}",
        why=why,
        detail={"from": planned.before, "to": to},
    ) as conn:
        customers.set_account(conn, planned.customer_id, to)
        for each in subscriptions.live_of(conn, planned.customer_id):
            if each.provider not in (None, to):
                collect_over(conn, each, to, now=now, actor=actor, why=why)
    # Payments are locked before subscriptions, so not in the transaction that changed these.
    with marked(CrashPoint.PAYMENTS_MOVED), context.engine.begin() as conn:
        made_due += retry_with_new_method(
            conn, planned.customer_id, to, context.clock.now(), tried_elsewhere=True
        )
    return made_due


def _was_given(context: Context, customer_id: UUID, to: str, token: str) -> bool:
    """Tell whether the token is attached already: a provider may take it once."""
    with context.engine.connect() as conn:
        at = customers.account(conn, customer_id, to)
        if at is None or at.payment_method_id is None:
            return False
        call = provider_calls.last(conn, at.method_call(token), CallKind.PAYMENT_METHOD)
    return call is not None and call.outcome is AttemptOutcome.SUCCEEDED


def collect_over(
    conn: Connection,
    subscription: Subscription,
    provider: str | None,
    *,
    now: datetime,
    actor: Actor,
    why: str,
) -> None:
    """Write that a subscription names this account from now on, or none, in its history too."""
    subscriptions.change(conn, subscription.id, provider=provider)
    subscriptions.note(
        conn,
        subscription.id,
        at=now,
        kind=SubscriptionEventKind.ACCOUNT_CHANGED,
        actor=actor,
        before=subscription.provider,
        after=provider,
        why=why,
    )
