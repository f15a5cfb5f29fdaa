"""A refund as the provider has it: ours brought to its end, one made there written down."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row

from billing.errors import BadInput
from billing.flows.policy import Policy
from billing.flows.refunds.outcomes import AT_PROVIDER, advance, as_accepted
from billing.flows.refunds.requesting import add, room_for
from billing.gateway import ProviderRefund
from billing.ids import new_id
from billing.rules.reconciliation import BreakCause, BreakFound, BreakKind
from billing.rules.refunds import RefundState, next_state, refund_key
from billing.store.dispatch import NOT_HELD
from billing.store.payments import disputes, payments, refunds
from billing.store.payments.payments import LockedPayment
from billing.store.settlement import breaks


def apply(
    conn: Connection, found: ProviderRefund, *, now: datetime, policy: Policy
) -> RefundState | None:
    """Bring our side to a refund as the provider has it now, and return where it stands.

    For webhooks and reconciliation; any number of times, in any order. A refund that we didn't
    ask for is adopted. None when it is none of ours: then a break says so.
    """
    row = _known(conn, found)
    payment_id = row.payment_id if row is not None else _payment_of(conn, found)
    if payment_id is None:
        _record_unknown(conn, found, None, None, now)
        return None
    payment = payments.lock_known_payment(conn, payment_id)
    row = _known(conn, found) or _adopted(conn, payment, found, now, policy)
    if row is None:
        return None
    locked = refunds.lock(conn, row.id)
    assert locked is not None
    payment = payments.lock_known_payment(conn, payment_id)
    return advance(conn, payment, locked, as_accepted(found), now=now, actor=AT_PROVIDER)


def _known(conn: Connection, found: ProviderRefund) -> Row[Any] | None:
    """Return our refund: by the provider's id, or by ours where the provider's isn't known yet.

    A second refund at the provider that carries our id is not the one we asked for, nor is one
    that was made although we had been told that it was refused: that one's end stays.
    """
    row = refunds.by_provider_id(conn, found.id) or _named(conn, found)
    if row is None or row.provider_refund_id == found.id:
        return row
    waits = row.provider_refund_id is None and row.state == RefundState.REQUESTED
    return row if waits else None


def _named(conn: Connection, found: ProviderRefund) -> Row[Any] | None:
    """Return the refund whose id the provider's refund carries."""
    try:
        return refunds.get(conn, UUID(found.metadata.get("refund", "")))
    except ValueError:
        return None


def _payment_of(conn: Connection, found: ProviderRefund) -> UUID | None:
    return disputes.payment_of(
        conn,
        provider_payment_id=found.provider_payment_id,
        provider_charge_id=found.provider_charge_id,
    )


def _adopted(
    conn: Connection, payment: LockedPayment, found: ProviderRefund, now: datetime, policy: Policy
) -> Row[Any] | None:
    """Write down a refund that was made at the provider."""
    end = next_state(RefundState.REQUESTED, found.status)
    if end in (RefundState.FAILED, RefundState.CANCELED):
        return _adopted_ended(conn, payment, found, end, now, policy)
    try:
        amount = room_for(conn, payment, found.amount)
    except BadInput as error:
        _record_unknown(conn, found, payment, BreakCause.REFUND_NOT_ADOPTABLE, now, why=error.what)
        return None
    if "refund" in found.metadata:
        _record_unknown(conn, found, payment, _why_unasked(_named(conn, found)), now)
    else:
        breaks.explain(
            conn,
            BreakKind.REFUND_UNKNOWN,
            found.id,
            now=now,
            resolution=f"adopted: it gives back money of payment {payment.id}",
        )
    return add(conn, payment, amount, new_id(), "made at the provider", AT_PROVIDER, now, policy)


def _why_unasked(named: Row[Any] | None) -> BreakCause:
    """Say how the provider may have a refund with an id of ours that we didn't wait for."""
    if named is not None and named.provider_refund_id is None:
        return BreakCause.REFUND_MADE_DESPITE_REFUSAL
    return BreakCause.REFUND_MADE_TWICE


def _adopted_ended(
    conn: Connection,
    payment: LockedPayment,
    found: ProviderRefund,
    end: RefundState,
    now: datetime,
    policy: Policy,
) -> Row[Any] | None:
    """Write down a refund of which we hear when it has failed.

    Its money may have left and come back, so the settlement has to know it; the journal doesn't.
    """
    if found.amount.currency != payment.currency:
        return None
    refund_id = new_id()
    refunds.add(
        conn,
        {
            "id": refund_id,
            "payment_id": payment.id,
            "amount": found.amount.amount,
            "currency": found.amount.currency,
            "state": str(end),
            "recognised": found.amount.amount,
            "deferred": 0,
            "tax": 0,
            "reason": "made at the provider",
            "requested_by": AT_PROVIDER,
            "idempotency_key": refund_key(policy.mode, refund_id),
            "provider_refund_id": found.id,
            "failure_reason": found.failure_reason or found.status,
            "dispatch_after": NOT_HELD,
            "created_at": now,
            "finished_at": now,
        },
    )
    return refunds.get(conn, refund_id)


def _record_unknown(
    conn: Connection,
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
    )
    breaks.record(conn, unknown, now=now)
