"""Applying a refund as the provider has it: update ours, or adopt one that was made there."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from billing.errors import BadInput
from billing.flows.refunds.outcomes import advance, as_accepted
from billing.flows.refunds.requesting import add, room_for
from billing.gateway import ProviderRefund
from billing.ids import new_id
from billing.rules.actor import PROVIDER
from billing.rules.money import Money
from billing.rules.reconciliation import (
    BreakCause,
    BreakFound,
    BreakKind,
    MovementKind,
    is_of_another,
)
from billing.rules.reconciliation.engines import MARK
from billing.rules.refunds import RefundState, next_state
from billing.store.dispatch import NOT_HELD
from billing.store.identity import engine_id
from billing.store.payments import disputes, payments, refunds
from billing.store.payments.payments import LockedPayment
from billing.store.payments.refunds import Refund
from billing.store.settlement import breaks, rows

# Two companies have two clocks.
_CLOCKS_DIFFER: Final = timedelta(minutes=15)


def apply(
    conn: Connection, found: ProviderRefund, *, provider: str, now: datetime
) -> RefundState | None:
    """Apply a refund as the provider has it now, and return its state here.

    For webhooks and reconciliation; any number of times, in any order. A refund that we didn't ask
    for is adopted. Returns None where the refund isn't of a payment of ours, which a break records,
    and for what was not captured of an authorised charge.
    """
    known = _known(conn, provider, found)
    payment_id = known.payment_id if known is not None else _payment_of(conn, provider, found)
    if payment_id is None and is_of_another(found.metadata, engine_id(conn)):
        return None
    if payment_id is None:
        _record_unknown(conn, provider, found, None, None, now)
        return None
    payment = payments.lock_known_payment(conn, payment_id)
    refund = _locked(conn, provider, known, found)
    if refund is None:
        refund = _adopted(conn, payment, found, now)
        if refund is None:
            return None
        if refund.is_open:
            counted = payment.amount_refunded + refund.amount
            payment = replace(payment, amount_refunded=counted)
    return advance(conn, payment, refund, as_accepted(found), now=now, actor=PROVIDER)


def _known(conn: Connection, provider: str, found: ProviderRefund) -> Refund | None:
    """Return our refund: by the provider's id, or by ours where the provider's isn't known yet."""
    refund = refunds.by_provider_id(conn, provider, found.id) or _named(conn, found)
    here = refund is not None and refund.provider == provider and _is_same(refund, found)
    return refund if here else None


def _is_same(refund: Refund, found: ProviderRefund) -> bool:
    """Tell whether the provider's refund is the one we asked for.

    It isn't where another refund at the provider already has our refund's id, nor where the
    provider had refused ours and made it all the same: ours keeps its final state.
    """
    if refund.provider_refund_id is not None:
        return refund.provider_refund_id == found.id
    return refund.state is RefundState.REQUESTED


def _locked(
    conn: Connection, provider: str, known: Refund | None, found: ProviderRefund
) -> Refund | None:
    """Lock our refund under its payment's lock; it may have been changed or added meanwhile."""
    if known is not None:
        refund = refunds.lock(conn, known.id)
        if _is_same(refund, found):
            return refund
    came = _known(conn, provider, found)
    return None if came is None else refunds.lock(conn, came.id)


def _named(conn: Connection, found: ProviderRefund) -> Refund | None:
    """Return the refund whose id the provider's refund carries."""
    try:
        return refunds.get(conn, UUID(found.metadata.get("refund", "")))
    except ValueError:
        return None


def _payment_of(conn: Connection, provider: str, found: ProviderRefund) -> UUID | None:
    return disputes.payment_of(
        conn,
        provider,
        provider_payment_id=found.provider_payment_id,
        provider_charge_id=found.provider_charge_id,
    )


def _adopted(
    conn: Connection, payment: LockedPayment, found: ProviderRefund, now: datetime
) -> Refund | None:
    """Write down a refund that was made at the provider; None for what isn't one."""
    if _was_not_captured(conn, payment, found):
        return None
    end = next_state(RefundState.REQUESTED, found.status)
    if end in (RefundState.FAILED, RefundState.CANCELED):
        return _adopted_ended(conn, payment, found, end, now)
    try:
        amount = room_for(conn, payment, found.amount)
    except BadInput as error:
        cause = BreakCause.REFUND_NOT_ADOPTABLE
        _record_unknown(conn, payment.provider, found, payment, cause, now, why=error.what)
        return None
    lost = _lost_id(conn, found)
    if lost is not None:
        return add(conn, payment, amount, lost, "asked for before", PROVIDER, now)
    if "refund" in found.metadata:
        cause = _why_unasked(_named(conn, found))
        _record_unknown(conn, payment.provider, found, payment, cause, now)
    else:
        breaks.explain(
            conn,
            payment.provider,
            BreakKind.REFUND_UNKNOWN,
            found.id,
            now=now,
            resolution=f"adopted: it gives back money of payment {payment.id}",
        )
    return add(conn, payment, amount, new_id(), "made at the provider", PROVIDER, now)


def _lost_id(conn: Connection, found: ProviderRefund) -> UUID | None:
    """Return our id of a refund that we asked for and have no row of: the database was restored."""
    if found.metadata.get(MARK) != str(engine_id(conn)):
        return None
    try:
        ours = UUID(found.metadata.get("refund", ""))
    except ValueError:
        return None
    return ours if refunds.get(conn, ours) is None else None


def _was_not_captured(conn: Connection, payment: LockedPayment, found: ProviderRefund) -> bool:
    """Tell whether this is what was not captured of an authorised charge: no money of ours.

    The provider shows it as a refund that it makes together with the capture. Its settlement says
    what it is; before that, amount and time do.
    """
    shown = rows.kind_of_source(conn, payment.provider, found.id)
    if shown is not None:
        return shown is MovementKind.CAPTURE_REVERSAL
    captured = payment.amount_captured or payment.to_capture.amount
    left = payment.money - Money(captured, payment.currency)
    if not left.amount or found.amount != left or "refund" in found.metadata:
        return False
    return payment.captured_at is None or found.created <= payment.captured_at + _CLOCKS_DIFFER


def _why_unasked(named: Refund | None) -> BreakCause:
    """Return the suggested cause of a refund that we didn't ask for but that may carry our id."""
    if named is not None and named.provider_refund_id is None:
        return BreakCause.REFUND_MADE_DESPITE_REFUSAL
    return BreakCause.REFUND_MADE_TWICE


def _adopted_ended(
    conn: Connection,
    payment: LockedPayment,
    found: ProviderRefund,
    end: RefundState,
    now: datetime,
) -> Refund | None:
    """Adopt a refund that had already failed when we first saw it.

    Its money may have left and come back, so the settlement needs the row; the journal gets no
    entry.
    """
    if found.amount.currency != payment.currency:
        return None
    return refunds.add(
        conn,
        id=new_id(),
        payment_id=payment.id,
        amount=found.amount.amount,
        currency=found.amount.currency,
        state=end,
        recognised=found.amount.amount,
        deferred=0,
        tax=0,
        reason="made at the provider",
        requested_by=str(PROVIDER),
        provider_refund_id=found.id,
        failure_reason=found.failure_reason or found.status,
        dispatch_after=NOT_HELD,
        created_at=now,
        finished_at=now,
    )


def _record_unknown(
    conn: Connection,
    provider: str,
    found: ProviderRefund,
    payment: LockedPayment | None,
    cause: BreakCause | None,
    now: datetime,
    *,
    why: str | None = None,
) -> None:
    unknown = BreakFound(
        kind=BreakKind.REFUND_UNKNOWN,
        subject=found.id,
        ours={}
        if payment is None
        else {
            "payment": str(payment.id),
            "captured": payment.amount_captured,
            "refunded": payment.amount_refunded,
            "currency": payment.currency,
            **({} if why is None else {"not_adopted": why}),
        },
        theirs={
            "refund": found.id,
            "payment": found.provider_payment_id,
            "amount": found.amount.amount,
            "currency": found.amount.currency,
            "status": found.status,
            "created": found.created.isoformat(),
        },
        cause=cause,
        cycle_id=None if payment is None else payment.cycle_id,
        payment_id=None if payment is None else payment.id,
        provider=provider,
    )
    breaks.record(conn, unknown, now=now)
