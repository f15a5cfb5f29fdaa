"""Writing the provider's answer about a refund: its state, entries, and the payment.

A refund's state only moves forward. When a refund ends without the money having gone back, its
entries are reversed and the amount can be refunded again. The refund that gives back the last of a
payment makes the payment REFUNDED. The caller locks payment and refund, in that order.
"""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from billing.flows.cycles import bought, crediting
from billing.gateway import ProviderRefund, RefundAccepted
from billing.ledger import keys, recipes
from billing.rules.actor import PROVIDER, Actor
from billing.rules.payments import AttemptOutcome, CallKind, Cause, State
from billing.rules.reconciliation import BreakFound, BreakKind
from billing.rules.refunds import RefundState, next_state
from billing.store.dispatch import NOT_HELD
from billing.store.journal import posting
from billing.store.payments import credit_notes, payments, provider_calls, recognition, refunds
from billing.store.payments.payments import LockedPayment
from billing.store.payments.refunds import Refund
from billing.store.settlement import breaks

# A pending refund normally ends with a webhook; we ask in case that webhook was lost.
PENDING_ASKED_EVERY: Final = timedelta(days=1)


def as_accepted(found: ProviderRefund) -> RefundAccepted:
    """Return the provider's refund in the form of an answer to our request."""
    return RefundAccepted(found.id, found.status, found.amount, found.failure_reason)


def advance(
    conn: Connection,
    payment: LockedPayment,
    refund: Refund,
    answer: RefundAccepted,
    *,
    now: datetime,
    actor: Actor,
) -> RefundState:
    """Move a locked refund forward to the state that the provider answered; return its state.

    Its call to the provider ends: the provider has the refund, however far it is.
    """
    if answer.amount != refund.money:
        _record_mismatch(conn, payment, refund, answer, now)
        return refund.state
    before = refund.state
    reached = next_state(before, answer.status)
    if before is RefundState.REQUESTED:
        _end_call(conn, refund, answer, now)
    if reached is None:
        if before is RefundState.PENDING:
            _wait_for_end(conn, refund, answer, now)
        return before
    match reached:
        case RefundState.SUCCEEDED:
            _succeed(conn, payment, refund, answer, now, actor)
        case RefundState.FAILED | RefundState.CANCELED:
            why = answer.failure_reason or answer.status
            take_back(conn, payment, refund, reached, why, now, answer.provider_refund_id)
        case RefundState.REQUESTED | RefundState.PENDING:
            _wait_for_end(conn, refund, answer, now)
    return reached


def _end_call(conn: Connection, refund: Refund, answer: RefundAccepted, now: datetime) -> None:
    ends = {CallKind.REFUND: AttemptOutcome.SUCCEEDED}
    provider_calls.finish(conn, refund.id, ends, now, answer.request_id)


def _record_mismatch(
    conn: Connection, payment: LockedPayment, refund: Refund, answer: RefundAccepted, now: datetime
) -> None:
    """Record a break: the provider refunded another amount than we asked for.

    From now on the refund is asked about by the provider's id, unless that is another's here.
    """
    found = BreakFound(
        kind=BreakKind.REFUND_MISMATCH,
        subject=refund.id,
        ours={"refund": str(refund.id), "amount": refund.amount, "currency": refund.currency},
        theirs={
            "refund": answer.provider_refund_id,
            "amount": answer.amount.amount,
            "currency": answer.amount.currency,
        },
        cycle_id=payment.cycle_id,
        payment_id=payment.id,
    )
    breaks.record(conn, found, now=now)
    told = answer.provider_refund_id
    is_new = (
        refund.provider_refund_id is None
        and refunds.by_provider_id(conn, refund.provider, told) is None
    )
    if is_new:
        _end_call(conn, refund, answer, now)
    refunds.change(
        conn,
        refund.id,
        provider_refund_id=told if is_new else refund.provider_refund_id,
        lease_until=None,
        next_attempt_at=None if refund.next_attempt_at is None else now + PENDING_ASKED_EVERY,
    )


def _wait_for_end(conn: Connection, refund: Refund, answer: RefundAccepted, now: datetime) -> None:
    refunds.change(
        conn,
        refund.id,
        state=RefundState.PENDING,
        provider_refund_id=answer.provider_refund_id,
        next_attempt_at=now + PENDING_ASKED_EVERY,
        lease_until=None,
        dispatch_after=NOT_HELD,
    )


def _succeed(
    conn: Connection,
    payment: LockedPayment,
    refund: Refund,
    answer: RefundAccepted,
    now: datetime,
    actor: Actor,
) -> None:
    """Write that the money went back: post the entry; a payment refunded as a whole is REFUNDED."""
    given_back = refunds.succeed(conn, refund.id, answer.provider_refund_id, now)
    posting.post(
        conn,
        [
            recipes.refund_succeeded(
                refund_id=refund.id,
                provider=payment.provider,
                customer_id=payment.customer_id,
                cycle_id=refunds.open_cycle(conn, payment.cycle_id),
                amount=refund.money,
                effective_at=now,
            )
        ],
    )
    if given_back == payment.amount_captured:
        payments.move(
            conn,
            payment.id,
            [payment.state, State.REFUNDED],
            cause=Cause.REFUND,
            now=now,
            actor=actor,
            evidence={"refund": str(refund.id), "provider_refund": answer.provider_refund_id},
        )


def take_back(
    conn: Connection,
    payment: LockedPayment,
    refund: Refund,
    end: RefundState,
    why: str,
    now: datetime,
    provider_refund_id: str | None = None,
) -> None:
    """Write that the money stayed or came back: reverse the entries; the amount is refundable
    again, or the customer's credit where a credit note gave it back.
    """
    refunds.change(
        conn,
        refund.id,
        state=end,
        provider_refund_id=provider_refund_id or refund.provider_refund_id,
        failure_reason=why,
        next_attempt_at=None,
        lease_until=None,
        finished_at=now,
    )
    payments.change(conn, payment.id, now, amount_refunded=payment.amount_refunded - refund.amount)
    closed = _is_closed(conn, payment)
    if refund.state == RefundState.SUCCEEDED:
        posting.reverse(
            conn,
            keys.refund_succeeded(refund.id),
            recipes.refund_returned,
            effective_at=now,
            after_close=closed,
        )
    if refund.note_id is None:
        bought.restore(conn, payment, bought.WentBack(refund_id=refund.id), now=now, actor=PROVIDER)
        posting.reverse(
            conn,
            keys.refund_requested(refund.id),
            recipes.refund_failed,
            effective_at=now,
            after_close=closed,
        )
    else:
        _credit_instead(conn, refund.note_id, now)
    if refund.deferred and payment.invoice_id is not None:
        # The refund's unearned part has to be earned after all, maybe at once.
        recognition.schedule_next(conn, {payment.invoice_id: now})
    if payment.state == State.REFUNDED:
        back_to = State.CAPTURED if payment.settled_at is None else State.SETTLED
        payments.move(
            conn,
            payment.id,
            [State.REFUNDED, back_to],
            cause=Cause.REFUND_FAILED,
            now=now,
            actor=PROVIDER,
            evidence={"refund": str(refund.id), "why": why},
        )


def _credit_instead(conn: Connection, note_id: UUID, now: datetime) -> None:
    """Make credit of what a credit note gives back: its refund failed, and the note stands."""
    note = credit_notes.get(conn, note_id)
    assert note is not None, "a refund names a note that there is"
    entry = recipes.credit_note_credited(
        note_id=note.id, customer_id=note.customer_id, amount=note.money, effective_at=now
    )
    posting.post(conn, [entry])
    crediting.grant_note(conn, note, now)


def _is_closed(conn: Connection, payment: LockedPayment) -> bool:
    """Tell whether a reversal is booked outside the payment's cycle, because that is closed."""
    return payment.cycle_id is not None and refunds.open_cycle(conn, payment.cycle_id) is None
