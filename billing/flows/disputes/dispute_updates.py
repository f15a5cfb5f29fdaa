"""Applying the provider's present state of a dispute to ours.

The caller fetches the dispute and these functions apply it as it is now, so the order and number of
events don't matter. Only the provider's transactions move money, each posted once under its id:

    withheld   dispute_receivable, and the fee as the provider charged it
    returned   the same the other way, with the fee where the provider gives it back
    lost       what is still withheld goes off the revenue: earned, unearned and tax as for a refund

An inquiry moves nothing. Locks are taken in one order: payment, its invoice, dispute.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from billing.flows.cycles import bought
from billing.flows.payments.subscription_status import lose_payment
from billing.gateway import BalanceTransaction, ProviderDispute
from billing.ids import new_id
from billing.ledger import keys, recipes
from billing.ledger.journal import Entry
from billing.rules.actor import PROVIDER
from billing.rules.disputes import CLOSED, DisputeState, Movement, is_older, movement, state_of
from billing.rules.line_parts import LineParts, split_by_line, total_of
from billing.rules.money import Money
from billing.rules.reconciliation import BreakCause, BreakFound, BreakKind
from billing.rules.refunds import Parts
from billing.store.journal import posting, reads
from billing.store.payments import disputes, line_parts, payments, recognition
from billing.store.payments.disputes import Dispute, DisputeInsert
from billing.store.payments.line_parts import PartsOf
from billing.store.payments.payments import LockedPayment
from billing.store.settlement import breaks


@dataclass(frozen=True, slots=True)
class Applied:
    """The result of applying a dispute.

    `state` is None when its charge isn't ours. `too_much` tells that more was lost than the payment
    had left after its refunds.
    """

    dispute_id: UUID
    state: DisputeState | None
    posted: int = 0
    too_much: bool = False


def apply(conn: Connection, found: ProviderDispute, *, provider: str, now: datetime) -> Applied:
    """Apply a dispute as the provider has it now; any number of times, in any order.

    In the caller's transaction. A dispute of a charge that we don't know becomes a break; once the
    charge is known, the same call assigns the dispute to its payment.
    """
    payment = _lock_payment(conn, provider, found)
    row = disputes.claim(conn, **_first_row(provider, found, payment, now))
    if payment is None:
        disputes.change(conn, row.id, now, stage=found.stage)
        _record_unknown(conn, provider, found, now)
        return Applied(row.id, None)
    if _is_late(row, found):
        return Applied(row.id, row.state)
    if row.payment_id is None:
        disputes.change(conn, row.id, now, payment_id=payment.id)
        _explain_unknown(conn, found, payment, now)
    if _is_mixed(payment, found):
        _park_mixed(conn, payment, row, found, now)
        _tell_subscription(conn, payment, row, found, now)
        return Applied(row.id, row.state)
    state = state_of(found.stage, found.is_inquiry)
    entries = _post_movements(payment, row, found)
    held = _withheld(conn, row, found)
    decided, too_much = _post_decision(conn, payment, row, state, held, now)
    entries += decided
    posting.post(conn, entries)
    _write(conn, row, found, state, held, now)
    _tell_subscription(conn, payment, row, found, now)
    return Applied(row.id, state, len(entries), too_much)


def _lock_payment(conn: Connection, provider: str, found: ProviderDispute) -> LockedPayment | None:
    payment_id = disputes.payment_of(
        conn,
        provider,
        provider_payment_id=found.provider_payment_id,
        provider_charge_id=found.provider_charge_id,
    )
    return None if payment_id is None else payments.lock_known_payment(conn, payment_id)


def _first_row(
    provider: str, found: ProviderDispute, payment: LockedPayment | None, now: datetime
) -> DisputeInsert:
    """Return the first row of a dispute, without any posted transaction."""
    return {
        "id": new_id(),
        "provider": provider,
        "provider_dispute_id": found.id,
        "payment_id": None if payment is None else payment.id,
        "provider_charge_id": found.provider_charge_id,
        "amount": found.amount.amount,
        "currency": found.amount.currency,
        "reason": found.reason,
        "stage": found.stage,
        "state": DisputeState.INQUIRY if found.is_inquiry else DisputeState.OPENED,
        "opened_at": found.created,
        "updated_at": now,
    }


def _is_late(row: Dispute, found: ProviderDispute) -> bool:
    """Tell whether this answer is older than one applied before: an earlier stage, or fewer
    transactions.
    """
    seen = state_of(found.stage, found.is_inquiry)
    ids = {transaction.id for transaction in found.balance_transactions}
    return is_older(seen, row.state) or not ids.issuperset(row.transaction_ids)


def _is_mixed(payment: LockedPayment, found: ProviderDispute) -> bool:
    """Tell whether a dispute, or what it moved, is in another currency than its payment."""
    told = {found.amount.currency, *(each.amount.currency for each in _movements(found))}
    return told != {payment.currency}


def _park_mixed(
    conn: Connection, payment: LockedPayment, row: Dispute, found: ProviderDispute, now: datetime
) -> None:
    """Record a dispute in another currency than its payment as a break, and book nothing of it."""
    state = state_of(found.stage, found.is_inquiry)
    disputes.change(
        conn,
        row.id,
        now,
        state=state,
        stage=found.stage,
        closed_at=(row.closed_at or now) if state in CLOSED else None,
    )
    cause = BreakCause.DISPUTED_IN_ANOTHER_CURRENCY
    _record_mismatch(conn, payment, row, {}, _provider_side(found), cause, now)


def _write(
    conn: Connection,
    row: Dispute,
    found: ProviderDispute,
    state: DisputeState,
    held: Money,
    now: datetime,
) -> None:
    moved = _movements(found)
    fees = [each.fee for each in moved if each.fee.amount]
    closed_at = (row.closed_at or now) if state in CLOSED else None
    disputes.change(
        conn,
        row.id,
        now,
        state=state,
        stage=found.stage,
        reason=found.reason,
        amount=found.amount.amount,
        funds_withdrawn=held.amount > 0,
        fee=sum(fee.amount for fee in fees),
        fee_currency=fees[0].currency if fees else None,
        transaction_ids=[each.transaction_id for each in moved],
        closed_at=closed_at,
    )


def _tell_subscription(
    conn: Connection, payment: LockedPayment, row: Dispute, found: ProviderDispute, now: datetime
) -> None:
    """Do with the subscription what its plan says when a dispute is lost, once."""
    state = state_of(found.stage, found.is_inquiry)
    if state is not DisputeState.LOST or row.state is DisputeState.LOST:
        return
    lost = {"amount": found.amount.amount, "currency": found.amount.currency}
    lose_payment(conn, payment, {"dispute": row.id, **lost, "reason": found.reason}, now)


# --- money --------------------------------------------------------------------------------------


def _movements(found: ProviderDispute) -> list[Movement]:
    return [_movement(each) for each in found.balance_transactions]


def _movement(each: BalanceTransaction) -> Movement:
    return movement(
        each.id,
        Money(each.amount, each.currency),
        each.customer_money,
        Money(each.fee, each.currency),
    )


def _withheld(conn: Connection, row: Dispute, found: ProviderDispute) -> Money:
    """Return what is held back from us: what the books have, and the transactions new to us.

    On a balance in another currency, what a movement is worth is read from the dispute as it is
    then. What was posted stays.
    """
    booked = reads.withheld_in_dispute(conn, row.id, row.transaction_ids)
    held = Money(booked, found.amount.currency)
    for each in _movements(found):
        if each.transaction_id not in row.transaction_ids:
            held = held + each.amount if each.direction == "withheld" else held - each.amount
    return held


def _post_movements(payment: LockedPayment, row: Dispute, found: ProviderDispute) -> list[Entry]:
    """Return the entries of the transactions that are new to us."""
    at = {transaction.id: transaction.created for transaction in found.balance_transactions}
    recipe = {"withheld": recipes.dispute_opened, "returned": recipes.dispute_won}
    return [
        recipe[each.direction](
            dispute_id=row.id,
            customer_id=payment.customer_id,
            provider=row.provider,
            transaction_id=each.transaction_id,
            amount=each.amount,
            fee=each.fee,
            effective_at=at[each.transaction_id],
        )
        for each in _movements(found)
        if each.transaction_id not in row.transaction_ids
        and (each.amount.amount or each.fee.amount)
    ]


def _post_decision(
    conn: Connection,
    payment: LockedPayment,
    row: Dispute,
    state: DisputeState,
    held: Money,
    now: datetime,
) -> tuple[list[Entry], bool]:
    """Return the entries that book what is withheld now as lost and reverse an earlier loss.

    The second value tells whether the loss is more than the payment had left.
    """
    lost = held if state is DisputeState.LOST else held - held
    booked = Parts(row.lost_recognised, row.lost_deferred, row.lost_tax)
    if lost.amount == booked.total:
        return [], False
    entries, too_much = [], False
    if booked.total:
        entries.append(_loss_reversed(conn, payment, row, now))
    if lost.amount > 0:
        left = recognition.parts_left(conn, payment)
        too_much = lost.amount > total_of(left).total
        entries.append(_loss(conn, payment, row, lost, left, now))
    return entries, too_much


def _loss_reversed(conn: Connection, payment: LockedPayment, row: Dispute, now: datetime) -> Entry:
    stored = reads.entry_by_source_key(conn, keys.dispute_lost(row.id, row.times_lost))
    assert stored is not None, "a loss is posted when it is written down"
    disputes.change(conn, row.id, now, lost_recognised=0, lost_deferred=0, lost_tax=0)
    by = bought.WentBack(dispute_id=row.id)
    bought.restore(conn, payment, by, now=now, actor=PROVIDER)
    if row.lost_deferred and payment.invoice_id is not None:
        recognition.schedule_next(conn, {payment.invoice_id: now})
    return recipes.dispute_lost_reversed(stored.entry, effective_at=now)


def _loss(
    conn: Connection,
    payment: LockedPayment,
    row: Dispute,
    lost: Money,
    left: Sequence[LineParts],
    now: datetime,
) -> Entry:
    taken = split_by_line(lost.amount, left)
    if taken.beyond:
        _record_too_much(conn, payment, row, lost, total_of(left), now)
    parts, nth = taken.parts, row.times_lost + 1
    by = bought.WentBack(dispute_id=row.id)
    bought.take_back(conn, payment, lost, by, now=now, actor=PROVIDER)
    disputes.change(
        conn,
        row.id,
        now,
        state=DisputeState.LOST,
        closed_at=row.closed_at or now,
        times_lost=nth,
        lost_recognised=parts.recognised,
        lost_deferred=parts.deferred,
        lost_tax=parts.tax,
    )
    line_parts.add(conn, PartsOf.DISPUTE, row.id, payment.invoice_id, taken.lines, nth=nth)
    return recipes.dispute_lost(
        dispute_id=row.id,
        customer_id=payment.customer_id,
        recognised=Money(parts.recognised, lost.currency),
        deferred=Money(parts.deferred, lost.currency),
        tax=Money(parts.tax, lost.currency),
        effective_at=now,
        nth=nth,
    )


# --- breaks -------------------------------------------------------------------------------------


def _provider_side(found: ProviderDispute) -> dict[str, object]:
    return {
        "dispute": found.id,
        "charge": found.provider_charge_id,
        "payment": found.provider_payment_id,
        "amount": found.amount.amount,
        "currency": found.amount.currency,
        "stage": found.stage,
        "created": found.created.isoformat(),
    }


def _record_unknown(conn: Connection, provider: str, found: ProviderDispute, now: datetime) -> None:
    unknown = BreakFound(
        kind=BreakKind.DISPUTE_UNKNOWN,
        subject=found.id,
        theirs=_provider_side(found),
        provider=provider,
    )
    breaks.record(conn, unknown, now=now)


def _explain_unknown(
    conn: Connection, found: ProviderDispute, payment: LockedPayment, now: datetime
) -> None:
    breaks.explain(
        conn,
        payment.provider,
        BreakKind.DISPUTE_UNKNOWN,
        found.id,
        now=now,
        resolution=f"the charge is that of payment {payment.id}",
    )


def _record_too_much(
    conn: Connection, payment: LockedPayment, row: Dispute, lost: Money, left: Parts, now: datetime
) -> None:
    """Record a break: the cardholder got more than was paid, from us and from the bank."""
    refunded = payment.amount_refunded > 0
    _record_mismatch(
        conn,
        payment,
        row,
        {"refunded": payment.amount_refunded, "left": left.total},
        {"dispute": row.provider_dispute_id, "lost": lost.amount},
        BreakCause.REFUNDED_AND_DISPUTED if refunded else BreakCause.DISPUTED_ABOVE_CHARGE,
        now,
    )


def _record_mismatch(
    conn: Connection,
    payment: LockedPayment,
    row: Dispute,
    ours: Mapping[str, Any],
    theirs: Mapping[str, Any],
    cause: BreakCause,
    now: datetime,
) -> None:
    """Record a break of a dispute; `ours` adds to what is captured of its payment."""
    captured = {"captured": payment.amount_captured, "currency": payment.currency}
    mismatch = BreakFound(
        kind=BreakKind.DISPUTE_MISMATCH,
        subject=row.id,
        ours={"payment": str(payment.id), **captured, **ours},
        theirs=theirs,
        cause=cause,
        cycle_id=payment.cycle_id,
        payment_id=payment.id,
    )
    breaks.record(conn, mismatch, now=now)
