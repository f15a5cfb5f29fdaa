"""Canceling, pausing and resuming a subscription; trying a payment again; releasing what is parked.

Locks are taken payments first, then their subscription, as everywhere.
"""

from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import Connection, Engine

from billing.errors import Conflict, ErrorCode, NotFound
from billing.flows.customers.customers import rung_given_back
from billing.flows.cycles.opening import CannotOpen, decide, write
from billing.flows.cycles.skipping import skip_missed
from billing.flows.payments.write_offs import reopen, void
from billing.flows.policy import Policy
from billing.queries.subscriptions import find_subscription
from billing.rules.invoices import InvoiceStatus
from billing.rules.payments import AttemptKind, Cause, State
from billing.rules.periods import nth
from billing.rules.subscriptions import Status, after_resume, can_cancel, can_pause, can_resume
from billing.store.dispatch import NOT_HELD
from billing.store.payments import attempts, payments
from billing.store.payments.payments import LockedPayment
from billing.store.subscriptions import plans, subscriptions
from billing.store.subscriptions.parking import NOT_PARKED
from billing.store.subscriptions.subscriptions import Subscription
from billing.store.transactions import Transactions


def _locked(conn: Connection, subscription_id: UUID) -> Subscription:
    locked = subscriptions.lock(conn, subscription_id)
    assert locked is not None, "subscriptions are never deleted"
    return locked


def cancel(
    engine: Transactions,
    reference: str,
    *,
    at_period_end: bool,
    now: datetime,
    actor: str,
    why: str,
) -> Subscription:
    """Cancel a subscription now, or when the period that is open ends; return it as it was.

    Now: nothing more is opened, and an invoice that isn't collected yet is voided, unless an
    attempt for it is open; then that attempt is the last one and its outcome stands.
    Raises `NotFound`, `Conflict`.
    """
    with engine.begin() as conn:
        found = find_subscription(conn, reference)
        undecided = payments.lock_collecting(conn, found.id)
        subscription = _locked(conn, found.id)
        if not can_cancel(subscription.status):
            raise Conflict(f"subscription {reference} is canceled already")
        if at_period_end and subscription.renews_at is not None:
            subscriptions.change(conn, subscription.id, cancel_at_period_end=True)
            words = f"will be canceled at {subscription.renews_at:%Y-%m-%d %H:%M} UTC: {why}"
            _note(conn, subscription, now, "cancel_at_period_end", actor, words)
            return subscription
        for payment in undecided:
            if attempts.open_attempt(conn, payment.id) is None:
                void(conn, payment, now=now, actor=actor, why=f"subscription canceled: {why}")
            else:
                payments.change(conn, payment.id, now, next_attempt_kind=AttemptKind.GIVE_UP)
        subscriptions.change(
            conn,
            subscription.id,
            status=str(Status.CANCELED),
            renews_at=None,
            canceled_at=now,
            **NOT_PARKED,
        )
        _note(
            conn, subscription, now, "canceled", actor, f"{subscription.status} -> canceled: {why}"
        )
        return subscription


def pause(
    engine: Transactions, reference: str, *, now: datetime, actor: str, why: str
) -> Subscription:
    """Pause a subscription: from its next period on, periods pass unbilled.

    Raises `NotFound`, `Conflict`.
    """
    with engine.begin() as conn:
        subscription = _locked(conn, find_subscription(conn, reference).id)
        if not can_pause(subscription.status):
            raise Conflict(
                f"a subscription that is {subscription.status} can't be paused",
                code=ErrorCode.SUBSCRIPTION_NOT_PAUSABLE,
                subscription_id=subscription.id,
            )
        subscriptions.change(conn, subscription.id, status=str(Status.PAUSED))
        _note(conn, subscription, now, "paused", actor, f"{subscription.status} -> paused: {why}")
        return subscription


def resume(
    engine: Transactions, reference: str, *, now: datetime, actor: str, why: str
) -> Subscription:
    """Resume a paused subscription: it is billed again from its next period on.

    One that is unpaid goes on too: the periods that went by unserved are skipped and the
    current one is billed; the debt that was written off stays so. Takes back a cancellation
    that waits for the period's end, too. Raises `NotFound`, `Conflict`.
    """
    with engine.begin() as conn:
        subscription = _locked(conn, find_subscription(conn, reference).id)
        if subscription.cancel_at_period_end:
            subscriptions.change(conn, subscription.id, cancel_at_period_end=False)
            _note(conn, subscription, now, "kept", actor, f"goes on after all: {why}")
            if not can_resume(subscription.status):
                return subscription
        elif not can_resume(subscription.status):
            raise Conflict(
                f"a subscription that is {subscription.status} is neither paused nor unpaid"
            )
        if subscription.status is Status.UNPAID:
            skipped = skip_missed(conn, subscription, now)
            words = f"unpaid -> active, {skipped} missed periods skipped: {why}"
            _note(conn, subscription, now, "resumed", actor, words)
            return subscription
        running = nth(subscription.schedule, max(subscription.next_n - 1, 0))
        in_trial = running.kind == "trial" and now < running.period.end
        past_due = payments.any_past_due(conn, subscription.id)
        status = after_resume(in_trial, past_due)
        subscriptions.change(conn, subscription.id, status=str(status))
        _note(conn, subscription, now, "resumed", actor, f"paused -> {status}: {why}")
        return subscription


def _note(
    conn: Connection, subscription: Subscription, now: datetime, kind: str, actor: str, words: str
) -> None:
    subscriptions.note(conn, subscription.id, at=now, kind=kind, actor=actor, words=words)


def retry(
    engine: Transactions,
    payment_id: UUID,
    *,
    now: datetime,
    actor: str,
    why: str,
    dry_run: bool = False,
) -> str:
    """Try a payment again now, outside the ladder, and return in words what was arranged.

    A FAILED payment is reopened, as long as its cycle is open. No rung is used.
    Raises `NotFound`, `Conflict`.
    """
    with engine.begin() as conn:
        payment = payments.lock_payment(conn, payment_id)
        if payment is None:
            raise NotFound(
                f"no payment {payment_id}", code=ErrorCode.PAYMENT_NOT_FOUND, payment_id=payment_id
            )
        _refuse_retry(conn, payment)
        if dry_run:
            return f"would try payment {payment_id} again now ({payment.state})"
        if payment.state == State.FAILED:
            reopen(conn, payment, cause=Cause.REOPENED_BY_OPERATOR, now=now, actor=actor, why=why)
        payments.change(
            conn,
            payment_id,
            now,
            rung=rung_given_back(payment.next_attempt_kind, payment.rung),
            next_attempt_at=now,
            next_attempt_kind=AttemptKind.MANUAL,
            dispatch_after=NOT_HELD,
            decision=f"retried by {actor}: {why}",
        )
        return f"payment {payment_id} is tried again now; no rung is used"


def _refuse_retry(conn: Connection, payment: LockedPayment) -> None:
    if payment.state not in (State.CREATED, State.FAILED):
        raise Conflict(
            f"payment {payment.id} is {payment.state}: there is nothing to retry",
            code=ErrorCode.PAYMENT_NOT_RETRYABLE,
            payment_id=payment.id,
        )
    if attempts.open_attempt(conn, payment.id) is not None:
        raise Conflict(
            f"an attempt of payment {payment.id} is open: its outcome is being asked for",
            code=ErrorCode.ATTEMPT_OPEN,
            payment_id=payment.id,
        )
    if payment.parked_at is not None:
        raise Conflict(
            f"payment {payment.id} is parked: {payment.parked_error}",
            code=ErrorCode.PAYMENT_PARKED,
            payment_id=payment.id,
        )
    if payment.state == State.FAILED and payment.invoice_id is None:
        raise Conflict(
            f"payment {payment.id} is a charge without an invoice: its answer is final",
            code=ErrorCode.ONE_OFF_IS_FINAL,
            payment_id=payment.id,
        )
    if payment.state == State.FAILED and payment.cycle_state == "closed":
        raise Conflict(
            f"payment {payment.id} was written off and its cycle is closed",
            code=ErrorCode.WRITTEN_OFF_AND_CLOSED,
            payment_id=payment.id,
        )
    if payment.state == State.FAILED and payment.invoice_status is InvoiceStatus.VOID:
        raise Conflict(f"payment {payment.id}: its invoice was voided, nothing is owed")


def release_payment(engine: Engine, payment_id: UUID, *, now: datetime) -> None:
    """Let a parked payment go on, with an attempt now. Raises `Conflict` when it isn't parked.

    An authorised one is captured, if that was asked for, or else voided.
    """
    with engine.begin() as conn:
        payment = payments.lock_known_payment(conn, payment_id)
        if payment.parked_at is None:
            raise Conflict(
                f"payment {payment_id} is not parked",
                code=ErrorCode.NOT_PARKED,
                payment_id=payment_id,
            )
        kind = AttemptKind.MANUAL
        if payment.state is State.AUTHORIZED:
            asked = payment.capture_amount is not None
            kind = AttemptKind.CAPTURE if asked else AttemptKind.VOID
        payments.change(
            conn,
            payment_id,
            now,
            **NOT_PARKED,
            next_attempt_at=now,
            next_attempt_kind=kind,
            dispatch_after=NOT_HELD,
        )


def release_subscription(
    engine: Engine,
    reference: str,
    *,
    missed: Literal["bill", "skip"] | None,
    now: datetime,
    actor: str,
    policy: Policy,
) -> str:
    """Put a parked subscription back into scheduling and say what became of missed periods.

    `bill` opens every missed period now, billed, whatever the cap; `skip` opens them unbilled;
    None leaves it to the catch-up policy. One that was to end meanwhile ends, without any of
    them. Raises `NotFound`, `Conflict`.
    """
    with engine.begin() as conn:
        subscription = _locked(conn, find_subscription(conn, reference).id)
        if subscription.parked_at is None:
            raise Conflict(
                f"subscription {reference} is not parked",
                code=ErrorCode.NOT_PARKED,
                subscription=reference,
            )
        if missed is not None:
            refuse_missed_after_the_end(subscription, now)
        subscriptions.change(conn, subscription.id, **NOT_PARKED)
        if missed == "skip":
            words = f"released; {skip_missed(conn, subscription, now)} missed periods skipped"
        elif missed == "bill":
            words = f"released; {_bill_missed(conn, subscription, now, policy)} periods billed"
        else:
            words = "released"
        _note(conn, subscription, now, "released", actor, words)
        return words


def ended_meanwhile(subscription: Subscription, now: datetime) -> bool:
    """Return whether its cancellation at a period's end was due before now."""
    return (
        subscription.cancel_at_period_end
        and subscription.renews_at is not None
        and subscription.renews_at <= now
    )


def refuse_missed_after_the_end(subscription: Subscription, now: datetime) -> None:
    """Raise `Conflict` where the missed periods come after the end that was asked for."""
    if ended_meanwhile(subscription, now):
        raise Conflict(
            f"subscription {subscription.id} was to end at"
            f" {subscription.renews_at:%Y-%m-%d %H:%M} UTC: no period was missed after that",
            code=ErrorCode.NO_PERIOD_MISSED,
            subscription_id=subscription.id,
        )


def _bill_missed(
    conn: Connection, subscription: Subscription, now: datetime, policy: Policy
) -> int:
    """Open every period of a locked subscription that has begun, each as one cycle."""
    catalog = plans.published(conn)
    opened = 0
    while subscription.renews_at is not None and subscription.renews_at <= now:
        try:
            opening = decide(subscription, catalog, now, policy, bill_missed=True)
        except CannotOpen as error:
            raise Conflict(f"it can't be opened yet: {error}") from error
        write(conn, [opening], now)
        opened += 1
        subscription = _locked(conn, subscription.id)
    return opened
