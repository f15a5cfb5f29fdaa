"""Asking that what was authorised be captured or voided.

An authorisation is made by an ordinary attempt (`collecting`) of a payment that is captured by
hand. From then on something always follows: it is voided when it expires, unless somebody
captures or voids it before. A capture of a part gives the rest free.

What is asked for is written down in the caller's transaction. `authorization_sending` sends it,
`authorization_outcomes` writes down what became of it.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.errors import BadInput, Conflict, ErrorCode, NotFound
from billing.flows.payments.authorization_outcomes import fail
from billing.flows.payments.authorization_sending import CAPTURE, VOID
from billing.rules.actor import Actor
from billing.rules.money import Money
from billing.rules.payments import Cause, State
from billing.store.dispatch import NOT_HELD
from billing.store.payments import payments
from billing.store.payments.payments import LockedPayment, Payment
from plans.currencies import charge_step


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
    payment = _lock(conn, payment_id)
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
            decision=f"{actor} asked for the capture of {amount}",
        )
    return amount


def _lock(conn: Connection, payment_id: UUID) -> LockedPayment:
    payment = payments.lock_payment(conn, payment_id)
    if payment is None:
        raise NotFound(
            f"no payment {payment_id}", code=ErrorCode.PAYMENT_NOT_FOUND, payment_id=payment_id
        )
    return payment


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
    elif amount.amount % charge_step(amount.currency):
        raise BadInput(f"{amount} can't be paid in {amount.currency}: its last digit has to be 0")
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
    if payment.parked_at is not None:
        raise Conflict(
            f"payment {payment.id} is parked: {payment.parked_error}",
            code=ErrorCode.PAYMENT_PARKED,
            payment_id=payment.id,
        )
    if payment.has_next(VOID, now):
        raise Conflict(f"payment {payment.id} is being voided: {payment.decision}")


def request_void(
    conn: Connection, payment_id: UUID, *, now: datetime, actor: Actor, why: str
) -> None:
    """Request the void of an authorised payment, which a worker sends.

    A payment that was not sent to the provider yet is given up at once. Raises `NotFound`,
    `Conflict`.
    """
    payment = _lock(conn, payment_id)
    words = f"voided by {actor}: {why}"
    if payment.state == State.CREATED and payment.invoice_id is None:
        if payment.open_attempt_n is not None:
            raise Conflict(
                f"payment {payment_id} is being authorised: its outcome is being asked for",
                code=ErrorCode.AUTHORISATION_UNDER_WAY,
                payment_id=payment_id,
            )
        fail(conn, payment, Cause.VOID, words, now, actor)
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
        decision=words,
    )
