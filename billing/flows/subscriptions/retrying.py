"""Trying a payment again when somebody asks for it, outside the ladder."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from billing.crash_points import CrashPoint, marked
from billing.errors import Conflict, ErrorCode
from billing.flows.customers.customers import rung_given_back
from billing.flows.payments.locking import (
    lock_named,
    refuse_open_attempt,
    refuse_parked,
    refuse_recovering,
)
from billing.flows.payments.write_offs import reopen
from billing.rules.actor import Actor
from billing.rules.decisions import DecisionKind, decided
from billing.rules.invoices import InvoiceStatus
from billing.rules.payments import AttemptKind, Cause, State
from billing.store.dispatch import NOT_HELD
from billing.store.payments import payments
from billing.store.payments.payments import LockedPayment
from billing.store.transactions import Transactions


@dataclass(frozen=True, slots=True)
class Retry:
    """A payment that is tried again, and its state before."""

    payment_id: UUID
    state: State


def retry(
    engine: Transactions,
    payment_id: UUID,
    *,
    now: datetime,
    actor: Actor,
    why: str,
    dry_run: bool = False,
) -> Retry:
    """Try a payment again now, outside the ladder; return it with its state before.

    A FAILED payment is reopened, as long as its cycle is open. No rung is used.
    Raises `NotFound`, `Conflict`.
    """
    with marked(CrashPoint.PAYMENT_RETRIED), engine.begin() as conn:
        payment = lock_named(conn, payment_id)
        refuse_recovering(payment)
        _refuse_retry(payment)
        if dry_run:
            return Retry(payment_id, payment.state)
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
            decision=decided(DecisionKind.RETRIED_BY_HAND, actor=actor, why=why),
        )
        return Retry(payment_id, payment.state)


def _refuse_retry(payment: LockedPayment) -> None:
    if payment.state not in (State.CREATED, State.FAILED):
        raise Conflict(
            f"payment {payment.id} is {payment.state}: there is nothing to retry",
            code=ErrorCode.PAYMENT_NOT_RETRYABLE,
            payment_id=payment.id,
        )
    refuse_open_attempt(payment)
    refuse_parked(payment)
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
