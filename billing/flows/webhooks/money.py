"""Events about refunds, disputes and payouts: fetch the object and apply its present state.

An event waits for two things, because the result would differ afterwards: for the answer to the
attempt that charged the payment, where it is missing; and for the outcome of a refund that we
requested, where the provider gave as much back in another way and may refuse ours.
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection

from billing.crash_points import CrashPoint, marked
from billing.flows.breaks import unreadable
from billing.flows.context import Context
from billing.flows.disputes import dispute_updates as disputes
from billing.flows.refunds import refund_updates as refunds
from billing.flows.webhooks.results import (
    Effects,
    EventOutcome,
    EventWaits,
    Handled,
    ObjectEvents,
    Waiting,
    only,
)
from billing.gateway import ProviderDispute, ProviderPayout, ProviderRefund
from billing.gateway.objects import Unreadable, unreadable_in
from billing.rules.reconciliation import BreakKind
from billing.rules.refunds import RefundState
from billing.store.arrays import literal
from billing.store.payments import disputes as stored_disputes
from billing.store.payments import payments
from billing.store.payments import refunds as stored_refunds
from billing.store.settlement import payouts


def refund(context: Context, events: ObjectEvents) -> Effects:
    """A refund was made, changed its status, or failed."""
    found = context.gateway.refund_by_id(events.object_id)
    if found is None:
        return only(EventOutcome.OBJECT_GONE)
    _wait_for_payment(context, found)
    return lambda conn: _apply_refunds(conn, context, [found])


def refunds_of_charge(context: Context, events: ObjectEvents) -> Effects:
    """A part of a charge was refunded: apply all its refunds."""
    pages = context.gateway.list_refunds(since=None, charge=events.object_id)
    found, failed = list[ProviderRefund](), list[Unreadable]()
    for page in pages:
        found += page
        failed += unreadable_in(page)
    if failed:
        with marked(CrashPoint.UNREADABLE_REFUNDS_RECORDED), context.engine.begin() as conn:
            unreadable.record(conn, context.account, failed, now=context.clock.now())
    if not found:
        return only(EventOutcome.UNCHANGED)
    _wait_for_payment(context, found[0])

    return lambda conn: _apply_refunds(conn, context, found[::-1])


def _apply_refunds(conn: Connection, context: Context, found: Sequence[ProviderRefund]) -> Handled:
    """Apply refunds, oldest first; a fact has the state here of each that is ours."""
    stands = {each.id: _apply_refund(conn, context, each) for each in found}
    facts = {refund_id: str(state or EventOutcome.NOT_OURS) for refund_id, state in stands.items()}
    return Handled(EventOutcome.REFUND_APPLIED, facts)


def _apply_refund(conn: Connection, context: Context, found: ProviderRefund) -> RefundState | None:
    state = refunds.apply(
        conn,
        found,
        provider=context.account,
        now=context.clock.now(),
    )
    if state is None:
        _wait_for_refunds(conn, context, found)
    return state


def dispute(context: Context, events: ObjectEvents) -> Effects:
    """A dispute was opened, moved money, or was decided."""
    found = context.gateway.dispute_by_id(events.object_id)
    if found is None:
        return only(EventOutcome.OBJECT_GONE)
    _wait_for_payment(context, found)
    return lambda conn: _apply_dispute(conn, context, found)


def _apply_dispute(conn: Connection, context: Context, found: ProviderDispute) -> Handled:
    applied = disputes.apply(conn, found, provider=context.account, now=context.clock.now())
    if applied.too_much:
        _wait_for_refunds(conn, context, found)
    if applied.state is None:
        return Handled(EventOutcome.BREAK_RECORDED, {"kind": str(BreakKind.DISPUTE_UNKNOWN)})
    return Handled(
        EventOutcome.DISPUTE_APPLIED, {"state": str(applied.state), "entries": applied.posted}
    )


def payout(context: Context, events: ObjectEvents) -> Effects:
    """A payout was made, arrived, or failed: record it; the settlement books it."""
    found = context.gateway.payout_by_id(events.object_id)
    if found is None:
        return only(EventOutcome.OBJECT_GONE)
    return lambda conn: _put_payout(conn, context, found)


def _put_payout(conn: Connection, context: Context, found: ProviderPayout) -> Handled:
    columns = {
        "ids": literal([found.id]),
        "amounts": literal([found.amount.amount]),
        "currencies": literal([found.amount.currency]),
        "statuses": literal([str(found.status)]),
        "createds": literal([found.created]),
        "arrivals": literal([found.arrival]),
    }
    payouts.put_payouts(conn, context.account, context.clock.now(), columns)
    return Handled(EventOutcome.PAYOUT_RECORDED, {"status": str(found.status)})


# --- what has to be over first ------------------------------------------------------------------


def _wait_for_payment(context: Context, found: ProviderRefund | ProviderDispute) -> None:
    """Check that we don't wait for the answer to this charge. Raises: EventWaits."""
    if found.provider_payment_id is None:
        return
    with context.engine.connect() as conn:
        if _payment_of(conn, context.account, found) is not None:
            return
    there = context.gateway.payment(found.provider_payment_id)
    try:
        own_id = UUID("" if there is None else there.metadata.get("payment", ""))
    except ValueError:
        return
    with context.engine.connect() as conn:
        ours = payments.get(conn, own_id)
    if ours is not None and ours.provider_payment_id is None:
        raise EventWaits(Waiting.CHARGE_UNANSWERED, own_id)


def _wait_for_refunds(
    conn: Connection, context: Context, found: ProviderRefund | ProviderDispute
) -> None:
    """Check that no refund of ours may still be refused. Raises: EventWaits."""
    payment_id = _payment_of(conn, context.account, found)
    if payment_id is None:
        return
    asked = stored_refunds.page(
        conn, payment_id=payment_id, state=str(RefundState.REQUESTED), limit=1
    )
    if asked:
        raise EventWaits(Waiting.REFUND_UNDECIDED, asked[0].id)


def _payment_of(
    conn: Connection, provider: str, found: ProviderRefund | ProviderDispute
) -> UUID | None:
    return stored_disputes.payment_of(
        conn,
        provider,
        provider_payment_id=found.provider_payment_id,
        provider_charge_id=found.provider_charge_id,
    )
