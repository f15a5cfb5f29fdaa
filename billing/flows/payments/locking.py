"""Locking a payment that somebody names, and refusing one that nothing can be done with now."""

from uuid import UUID

from sqlalchemy import Connection

from billing.errors import Conflict, ErrorCode, NotFound
from billing.flows import fence
from billing.store.payments import payments
from billing.store.payments.payments import LockedPayment, Payment


def lock_named(conn: Connection, payment_id: UUID) -> LockedPayment:
    """Lock a payment by an id that comes from outside. Raises `NotFound`."""
    payment = payments.lock_payment(conn, payment_id)
    if payment is None:
        raise NotFound(
            f"no payment {payment_id}", code=ErrorCode.PAYMENT_NOT_FOUND, payment_id=payment_id
        )
    return payment


def refuse_recovering(payment: LockedPayment) -> None:
    """Raise `Recovering` where the payment's account is: nothing is sent to it."""
    if payment.account_recovering:
        raise fence.recovering(payment.provider)


def refuse_parked(payment: Payment) -> None:
    """Raise `Conflict` where the payment is parked."""
    if payment.parked_at is not None:
        raise Conflict(
            f"payment {payment.id} is parked: {payment.parked_error}",
            code=ErrorCode.PAYMENT_PARKED,
            payment_id=payment.id,
        )


def refuse_open_attempt(payment: LockedPayment) -> None:
    """Raise `Conflict` where an attempt of the payment has no outcome yet."""
    if payment.open_attempt_n is not None:
        raise Conflict(
            f"an attempt of payment {payment.id} is open: its outcome is being asked for",
            code=ErrorCode.ATTEMPT_OPEN,
            payment_id=payment.id,
        )
