"""Canceling, pausing and resuming a subscription.

Locks are taken payments first, then their subscription, as everywhere.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.errors import Conflict, ErrorCode
from billing.flows.cycles.skipping import skip_missed
from billing.flows.payments.write_offs import void
from billing.queries.payments import payments as listed_payments
from billing.queries.subscriptions import find_subscription
from billing.rules.actor import Actor
from billing.rules.payments import AttemptKind, State
from billing.rules.periods import nth
from billing.rules.subscriptions import (
    Status,
    SubscriptionEventKind,
    after_resume,
    can_cancel,
    can_pause,
    can_resume,
)
from billing.store.payments import payments
from billing.store.subscriptions import subscriptions
from billing.store.subscriptions.parking import NOT_PARKED
from billing.store.subscriptions.subscriptions import Subscription
from billing.store.transactions import Transactions


def locked(conn: Connection, subscription_id: UUID) -> Subscription:
    """Lock a subscription that is known to exist."""
    found = subscriptions.lock(conn, subscription_id)
    assert found is not None, "subscriptions are never deleted"
    return found


def cancel(
    engine: Transactions,
    reference: str,
    *,
    at_period_end: bool,
    now: datetime,
    actor: Actor,
    why: str,
) -> Subscription:
    """Cancel a subscription now, or when the period that is open ends; return it as it was.

    When canceled now, no further cycle is opened, and an invoice that isn't collected yet is
    voided. Where an attempt for the invoice is open, that attempt is the last one and its outcome
    stands. Raises `NotFound`, `Conflict`.
    """
    with engine.begin() as conn:
        found = find_subscription(conn, reference)
        undecided = payments.lock_collecting(conn, found.id)
        subscription = locked(conn, found.id)
        if not can_cancel(subscription.status):
            raise Conflict(f"subscription {reference} is canceled already")
        if at_period_end and subscription.renews_at is not None:
            subscriptions.change(conn, subscription.id, cancel_at_period_end=True)
            kind = SubscriptionEventKind.CANCEL_AT_PERIOD_END
            subscriptions.note(
                conn,
                subscription.id,
                at=now,
                kind=kind,
                actor=actor,
                ends_at=subscription.renews_at,
                why=why,
            )
            return subscription
        for payment in undecided:
            if payment.open_attempt_n is None:
                void(conn, payment, now=now, actor=actor, why=why, subscription_canceled=True)
            else:
                payments.change(conn, payment.id, now, next_attempt_kind=AttemptKind.GIVE_UP)
        subscriptions.change(
            conn,
            subscription.id,
            status=Status.CANCELED,
            renews_at=None,
            canceled_at=now,
            **NOT_PARKED,
        )
        _note(conn, subscription, now, SubscriptionEventKind.CANCELED, actor, why)
        return subscription


@dataclass(frozen=True, slots=True)
class CancelPlan:
    """What canceling a subscription will do: end it at `ends_at`, or now and void so many invoices.

    `status` is its present one.
    """

    subscription_id: UUID
    status: Status
    ends_at: datetime | None
    voided: int


def plan_cancel(conn: Connection, subscription_id: UUID, *, at_period_end: bool) -> CancelPlan:
    """Return what canceling will do. Raises `NotFound`, `Conflict`, as canceling itself would."""
    subscription = find_subscription(conn, str(subscription_id))
    if not can_cancel(subscription.status):
        raise Conflict(f"subscription {subscription_id} is canceled already")
    if at_period_end and subscription.renews_at is not None:
        return CancelPlan(subscription.id, subscription.status, subscription.renews_at, 0)
    collecting = listed_payments(conn, subscription_id=subscription.id, state=str(State.CREATED))
    return CancelPlan(subscription.id, subscription.status, None, len(collecting))


def pause(
    engine: Transactions, reference: str, *, now: datetime, actor: Actor, why: str
) -> Subscription:
    """Pause a subscription: from its next period on, periods pass unbilled.

    Raises `NotFound`, `Conflict`.
    """
    with engine.begin() as conn:
        subscription = locked(conn, find_subscription(conn, reference).id)
        if not can_pause(subscription.status):
            raise Conflict(
                f"a subscription that is {subscription.status} can't be paused",
                code=ErrorCode.SUBSCRIPTION_NOT_PAUSABLE,
                subscription_id=subscription.id,
            )
        subscriptions.change(conn, subscription.id, status=Status.PAUSED)
        _note(conn, subscription, now, SubscriptionEventKind.PAUSED, actor, why)
        return subscription


def resume(
    engine: Transactions, reference: str, *, now: datetime, actor: Actor, why: str
) -> Subscription:
    """Resume a paused subscription: it is billed again from its next period on.

    An unpaid subscription goes on too: its unserved periods are skipped and the current one is
    billed; the debt stays written off. Resuming also withdraws a cancellation at the period's end.
    Raises `NotFound`, `Conflict`.
    """
    with engine.begin() as conn:
        subscription = locked(conn, find_subscription(conn, reference).id)
        if subscription.cancel_at_period_end:
            subscriptions.change(conn, subscription.id, cancel_at_period_end=False)
            _note(conn, subscription, now, SubscriptionEventKind.KEPT, actor, why)
            if not can_resume(subscription.status):
                return subscription
        elif not can_resume(subscription.status):
            raise Conflict(
                f"a subscription that is {subscription.status} is neither paused nor unpaid"
            )
        if subscription.status is Status.UNPAID:
            skipped = skip_missed(conn, subscription, now)
            kind = SubscriptionEventKind.RESUMED
            _note(conn, subscription, now, kind, actor, why, after=Status.ACTIVE, skipped=skipped)
            return subscription
        running = nth(subscription.schedule, max(subscription.next_n - 1, 0))
        in_trial = running.kind == "trial" and now < running.period.end
        past_due = payments.any_past_due(conn, subscription.id)
        status = after_resume(in_trial, past_due)
        subscriptions.change(conn, subscription.id, status=status)
        _note(conn, subscription, now, SubscriptionEventKind.RESUMED, actor, why, after=status)
        return subscription


def _note(
    conn: Connection,
    subscription: Subscription,
    now: datetime,
    kind: SubscriptionEventKind,
    actor: Actor,
    why: str,
    **facts: object,
) -> None:
    """Note a change with the status before it and the reason that was given."""
    before = subscription.status
    subscriptions.note(
        conn, subscription.id, at=now, kind=kind, actor=actor, before=before, why=why, **facts
    )
