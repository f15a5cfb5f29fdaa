"""Requesting a refund: reserve its amount under the payment's lock and post its entry.

From its request on a refund counts against its payment, until it is known to have failed.
Locks are taken in one order: payment, its invoice, refund.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.errors import BadInput, Conflict, ErrorCode
from billing.flows.cycles import bought
from billing.flows.payments.amounts import check_step
from billing.flows.payments.locking import lock_named, refuse_recovering
from billing.ids import derived_id, new_id
from billing.ledger import recipes
from billing.ledger.journal import Entry
from billing.pan import refuse_card_number
from billing.rules.actor import Actor
from billing.rules.line_parts import split_by_line
from billing.rules.money import Money
from billing.rules.payments import State
from billing.rules.refunds import Parts, RefundState, refundable
from billing.store.dispatch import NOT_HELD
from billing.store.journal import posting
from billing.store.payments import (
    credit_notes,
    disputes,
    line_parts,
    payments,
    recognition,
    refunds,
)
from billing.store.payments.credit_notes import CreditNote
from billing.store.payments.line_parts import PartsOf
from billing.store.payments.payments import LockedPayment, Payment
from billing.store.payments.refunds import Refund


class NotRefundable(Conflict):
    """The payment can't be refunded, or not by that amount; nothing was changed."""


# --- asking for it ------------------------------------------------------------------------------


def request(
    conn: Connection,
    payment_id: UUID,
    *,
    amount: Money | None = None,
    reason: str,
    actor: Actor,
    now: datetime,
    refund_id: UUID | None = None,
) -> Refund:
    """Request a refund of a payment, of all that is left if no amount is given; return the refund.

    In the caller's transaction; a worker sends it once that is committed. Where the caller gives
    the `refund_id`, a second call returns the existing refund. Raises `NotFound`, `NotRefundable`,
    `BadInput`, `Conflict`.
    """
    refuse_card_number(reason, "reason")
    payment = lock_named(conn, payment_id)
    known = None if refund_id is None else refunds.get(conn, refund_id)
    if known is not None:
        return _same_request(known, payment_id, amount)
    refuse_recovering(payment)
    given = _unused(conn, payment, amount, room_for(conn, payment, amount))
    return add(conn, payment, given, refund_id or new_id(), reason, actor, now)


def _unused(conn: Connection, payment: LockedPayment, asked: Money | None, given: Money) -> Money:
    """Return what of a top-up may go back: no more than what nobody used of its credit."""
    left = bought.unused(conn, payment)
    if left is None or given <= left:
        return given
    if asked is None and left.amount:
        return left
    raise NotRefundable(
        f"of the credit that payment {payment.id} bought {left} is unused",
        where="credit that was used or has expired isn't given back",
        code=ErrorCode.REFUND_TOO_HIGH if left.amount else ErrorCode.NOTHING_LEFT_TO_REFUND,
        payment_id=payment.id,
        left=left,
    )


def _same_request(known: Refund, payment_id: UUID, amount: Money | None) -> Refund:
    if known.payment_id != payment_id or amount not in (None, known.money):
        raise Conflict(
            f"refund {known.id} exists and gives back something else",
            code=ErrorCode.REFUND_ID_TAKEN,
            refund_id=known.id,
        )
    return known


def room_for(conn: Connection, payment: Payment, amount: Money | None) -> Money:
    """Return the amount that would be refunded of a payment. Raises `NotRefundable`, `BadInput`."""
    if payment.state not in (State.CAPTURED, State.SETTLED, State.REFUNDED):
        raise NotRefundable(
            f"payment {payment.id} is {payment.state}: nothing was captured",
            code=ErrorCode.NOTHING_CAPTURED,
            payment_id=payment.id,
        )
    if payment.provider_payment_id is None:
        raise NotRefundable(f"payment {payment.id} has no counterpart at the provider")
    captured = payment.captured
    left, held = _left(conn, payment)
    if amount is None:
        amount = left
    elif amount.currency != captured.currency:
        raise BadInput(f"payment {payment.id} was made in {captured.currency}, not in {amount}")
    elif amount.amount <= 0:
        raise BadInput(f"a refund gives back more than nothing, not {amount}")
    else:
        check_step(amount)
    if left.amount == 0 or amount > left:
        withheld = f", {held} are in dispute" if held.amount else ""
        raise NotRefundable(
            f"of payment {payment.id} {left} can be refunded, not {amount}"
            if left.amount
            else f"nothing is left to refund of payment {payment.id}",
            where=f"captured {captured}, refunded or asked for {payment.refunded}{withheld}",
            code=ErrorCode.REFUND_TOO_HIGH if left.amount else ErrorCode.NOTHING_LEFT_TO_REFUND,
            payment_id=payment.id,
            left=left,
        )
    return amount


def _left(conn: Connection, payment: Payment) -> tuple[Money, Money]:
    """Return how much of a payment may go back, and how much cardholders' banks hold of it.

    What credit notes gave otherwise is taken off.
    """
    if payment.invoice_id is None:
        held = Money(disputes.in_dispute(conn, payment.id), payment.currency)
        return refundable(payment.captured, payment.refunded, held), held
    given = credit_notes.given_back(conn, payment.invoice_id, payment.id)
    held = Money(given.in_dispute, payment.currency)
    paid_back = payment.refunded + Money(given.outside, payment.currency)
    return min(refundable(payment.captured, paid_back, held), given.left), held


def add(
    conn: Connection,
    payment: LockedPayment,
    amount: Money,
    refund_id: UUID,
    reason: str,
    actor: Actor,
    now: datetime,
) -> Refund:
    """Write a refund of a locked payment down, in its first state, with its entry."""
    taken = split_by_line(amount.amount, recognition.parts_left(conn, payment))
    parts = taken.parts
    payments.change(conn, payment.id, now, amount_refunded=payment.amount_refunded + amount.amount)
    added = refunds.add(
        conn,
        id=refund_id,
        payment_id=payment.id,
        amount=amount.amount,
        currency=amount.currency,
        state=RefundState.REQUESTED,
        recognised=parts.recognised,
        deferred=parts.deferred,
        tax=parts.tax,
        reason=reason,
        requested_by=str(actor),
        next_attempt_at=now,
        dispatch_after=NOT_HELD,
        created_at=now,
    )
    line_parts.add(conn, PartsOf.REFUND, refund_id, payment.invoice_id, taken.lines)
    posting.post(conn, [_requested(conn, payment, refund_id, parts, now)])
    by = bought.WentBack(refund_id=refund_id)
    bought.take_back(conn, payment, amount, by, now=now, actor=actor)
    return added


def add_for_note(
    conn: Connection, payment: LockedPayment, note: CreditNote, now: datetime
) -> Refund:
    """Write the refund of a credit note down; the note's entry has posted what it gives back."""
    given_back = payment.amount_refunded + note.total
    payments.change(conn, payment.id, now, amount_refunded=given_back)
    return refunds.add(
        conn,
        id=derived_id("refund", note.id, 0, now),
        payment_id=payment.id,
        amount=note.total,
        currency=note.currency,
        state=RefundState.REQUESTED,
        recognised=0,
        deferred=0,
        tax=0,
        reason=note.reason,
        requested_by=note.actor,
        note_id=note.id,
        next_attempt_at=now,
        dispatch_after=NOT_HELD,
        created_at=now,
    )


def _requested(
    conn: Connection, payment: LockedPayment, refund_id: UUID, parts: Parts, now: datetime
) -> Entry:
    return recipes.refund_requested(
        refund_id=refund_id,
        customer_id=payment.customer_id,
        cycle_id=refunds.open_cycle(conn, payment.cycle_id),
        recognised=Money(parts.recognised, payment.currency),
        deferred=Money(parts.deferred, payment.currency),
        tax=Money(parts.tax, payment.currency),
        effective_at=now,
    )
