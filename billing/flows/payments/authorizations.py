"""Requesting the capture or the void of an authorised payment.

An ordinary attempt (`collecting`) of a payment with manual capture makes the authorisation. A void
at its expiry is scheduled at once, so that none is forgotten; a capture or a void before then
replaces it. A capture of a part gives the rest free.

A request changes the payment's row in the caller's transaction. `authorization_sending` sends it,
and `authorization_outcomes` writes its outcome.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.errors import BadInput, Conflict, ErrorCode
from billing.flows.payments.amounts import check_step
from billing.flows.payments.authorization_outcomes import fail
from billing.flows.payments.authorization_sending import CAPTURE, VOID
from billing.flows.payments.locking import lock_named, refuse_parked, refuse_recovering
from billing.rules.actor import Actor
from billing.rules.decisions import Decision, DecisionKind, decided
from billing.rules.money import Money
from billing.rules.payments import Cause, State
from billing.store.dispatch import NOT_HELD
from billing.store.payments import payments
from billing.store.payments.payments import Payment


def request_capture(
    conn: Connection,
    payment_id: UUID,
    *,
    amount: Money | None = None,
    now: datetime,
    actor: Actor,
) -> Money:
    """Request the capture of an authorised payment, or of a part; return the amount.

    In the caller's transaction; a worker sends it once that is committed. The same request again
    changes nothing. Raises `NotFound`, `Conflict`, `BadInput`.
    """
    payment = lock_named(conn, payment_id)
    refuse_recovering(payment)
    amount = capturable(payment, amount, now)
    if payment.capture_amount is None:
        payments.change(
            conn,
            payment_id,
            now,
            capture_amount=amount.amount,
            next_attempt_at=now,
            next_attempt_kind=CAPTURE,
            dispatch_after=NOT_HELD,
            decision=decided(
                DecisionKind.CAPTURE_REQUESTED,
                actor=actor,
                amount=amount.amount,
                currency=amount.currency,
            ),
        )
    return amount


def capturable(payment: Payment, amount: Money | None, now: datetime) -> Money:
    """Return the amount that would be captured of a payment. Raises `Conflict`, `BadInput`."""
    _refuse_unless_authorised(payment, now)
    whole = payment.money
    if amount is None:
        amount = whole
    elif amount.currency != whole.currency:
        raise BadInput(f"payment {payment.id} was authorised in {whole.currency}, not in {amount}")
    elif not 0 < amount.amount <= whole.amount:
        raise BadInput(f"of {whole} authorised, {amount} can't be captured")
    else:
        check_step(amount)
    if payment.capture_amount not in (None, amount.amount):
        raise Conflict(f"the capture of {payment.to_capture} is under way for payment {payment.id}")
    return amount


def _refuse_unless_authorised(payment: Payment, now: datetime) -> None:
    if payment.state != State.AUTHORIZED:
        raise Conflict(
            f"payment {payment.id} is {payment.state}, not authorised",
            code=ErrorCode.PAYMENT_NOT_AUTHORISED,
            payment_id=payment.id,
        )
    refuse_parked(payment)
    if payment.has_next(VOID, now):
        raise Conflict(
            f"payment {payment.id} is being voided",
            code=ErrorCode.VOID_UNDER_WAY,
            payment_id=payment.id,
        )


def request_void(
    conn: Connection, payment_id: UUID, *, now: datetime, actor: Actor, why: str
) -> None:
    """Request the void of an authorised payment because `why`; see `request_void_as`."""
    decision = decided(DecisionKind.VOID_REQUESTED, actor=actor, why=why)
    request_void_as(conn, payment_id, decision, now=now, actor=actor)


def request_void_as(
    conn: Connection, payment_id: UUID, decision: Decision, *, now: datetime, actor: Actor
) -> None:
    """Request the void of an authorised payment, which a worker sends.

    A payment that was not sent to the provider yet is given up at once. Raises `NotFound`,
    `Conflict`.
    """
    payment = lock_named(conn, payment_id)
    refuse_recovering(payment)
    if payment.state == State.CREATED and payment.invoice_id is None:
        if payment.open_attempt_n is not None:
            raise Conflict(
                f"payment {payment_id} is being authorised: its outcome is being asked for",
                code=ErrorCode.AUTHORISATION_UNDER_WAY,
                payment_id=payment_id,
            )
        fail(conn, payment, Cause.VOID, decision, now, actor)
        return
    _refuse_unless_authorised(payment, now)
    if payment.capture_amount is not None:
        raise Conflict(
            f"payment {payment_id} is being captured",
            code=ErrorCode.CAPTURE_UNDER_WAY,
            payment_id=payment_id,
        )
    payments.change(
        conn,
        payment_id,
        now,
        next_attempt_at=now,
        next_attempt_kind=VOID,
        dispatch_after=NOT_HELD,
        decision=decision,
    )
