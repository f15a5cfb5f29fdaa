"""Forced corrections: the provider has the customer's money, and our books say otherwise.

Such a payment had failed, or its answer never came. The correction moves it to CAPTURED by legal
transitions, with cause `forced_correction` and the settlement row as evidence. It reverses a
write-off, posts the capture and marks the invoice as paid. Each payment has a transaction of its
own: there are few.
"""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from billing.flows.payments.captures import pay_invoice, post_capture
from billing.flows.payments.subscription_status import recover_subscription
from billing.flows.settlement.step_run import StepRun
from billing.ledger import keys, recipes
from billing.rules.actor import Actor
from billing.rules.decisions import DecisionKind, decided
from billing.rules.invoices import InvoiceStatus
from billing.rules.money import Money
from billing.rules.payments import AttemptOutcome, CallKind, Cause, State
from billing.rules.reconciliation import BreakKind, RowOutcome
from billing.rules.subscriptions import Status, SubscriptionEventKind
from billing.store.dispatch import NOT_HELD
from billing.store.journal import posting
from billing.store.payments import attempts, payment_history, payments, provider_calls
from billing.store.payments.payments import LockedPayment
from billing.store.settlement import breaks
from billing.store.settlement import rows as settlement_rows
from billing.store.settlement.rows import SettlementRow
from billing.store.subscriptions import subscriptions
from billing.store.subscriptions.parking import NOT_PARKED

BATCH: Final = 100
_PATHS: Final = {
    State.FAILED: (State.FAILED, State.CAPTURED),
    State.CREATED: (State.CREATED, State.AUTHORIZED, State.CAPTURED),
    State.AUTHORIZED: (State.AUTHORIZED, State.CAPTURED),
}


def correct(step: StepRun) -> None:
    """Correct every payment whose row asks for it; one that a worker has leased waits for a later
    run.
    """
    while True:
        with step.context.engine.connect() as conn:
            ids = settlement_rows.to_correct(
                conn, step.provider, after=step.cursor.get("after", ""), limit=BATCH
            )
        if not ids:
            return
        for transaction_id in ids:
            with step.batch() as conn:
                step.counts[_correct_one(conn, transaction_id, step)] += 1
                step.cursor["after"] = transaction_id


def _correct_one(conn: Connection, transaction_id: str, step: StepRun) -> str:
    """Correct one payment under its lock; return the result in a word."""
    now = step.now
    row = settlement_rows.lock_row(conn, step.provider, transaction_id)
    if row.matched_at is not None or row.outcome != RowOutcome.CORRECT:
        return "done_before"
    assert row.payment_id is not None, "only a row that is about a payment is to be corrected"
    payment = payments.lock_known_payment(conn, row.payment_id)
    if step.context.policy.is_held(payment.lease_until, step.context.clock.wall()):
        return "left_to_a_worker"
    if (otherwise := _otherwise(payment, row)) is not None:
        # The payment was decided after matching: this row is a break of the next run.
        settlement_rows.decide_row(
            conn, step.provider, transaction_id, str(otherwise), now, done=False
        )
        return str(otherwise)
    if payment.captured_at is None:
        _capture(conn, payment, row, step)
        corrected = "corrected"
    else:
        corrected = "captured_meanwhile"
    settlement_rows.decide_row(
        conn, step.provider, transaction_id, str(RowOutcome.CORRECTED), now, done=True
    )
    breaks.resolve_corrected(
        conn,
        step.provider,
        payment_id=payment.id,
        transaction_id=transaction_id,
        charge_id=row.provider_charge_id,
        resolution=f"corrected: booked as captured, as {transaction_id} says",
        now=now,
    )
    return corrected


def _otherwise(payment: LockedPayment, row: SettlementRow) -> BreakKind | None:
    """Return what the row is now if its payment was decided otherwise since it was matched.

    It was booked from another charge, or its invoice was voided: nobody owes it any more.
    """
    if payment.captured_at is not None:
        return BreakKind.DUPLICATE_CHARGE if _another_charge(payment, row) else None
    is_void = payment.state is State.FAILED and payment.invoice_status is InvoiceStatus.VOID
    return BreakKind.CAPTURED_AT_PROVIDER_ONLY if is_void else None


def _another_charge(payment: LockedPayment, row: SettlementRow) -> bool:
    ours, theirs = payment.provider_charge_id, row.provider_charge_id
    return ours is not None and theirs is not None and ours != theirs


# How calls end that are open of a payment which was captured after all.
_ENDS: Final = {
    CallKind.CAPTURE: AttemptOutcome.SUCCEEDED,
    CallKind.VOID: AttemptOutcome.ABSENT,
    CallKind.CANCEL: AttemptOutcome.ABSENT,
}


def _capture(conn: Connection, payment: LockedPayment, row: SettlementRow, step: StepRun) -> None:
    now = step.now
    after_close = payment.cycle_state == "closed"
    amount = payment.to_capture
    if payment.open_attempt_n is not None:
        attempts.finish(
            conn,
            payment.id,
            AttemptOutcome.SUCCEEDED,
            now,
            decision=decided(
                DecisionKind.FOUND_IN_SETTLEMENT, transaction=row.provider_transaction_id
            ),
        )
    provider_calls.finish(conn, payment.id, _ENDS, now)
    payments.move(
        conn,
        payment.id,
        _PATHS[payment.state],
        cause=Cause.FORCED_CORRECTION,
        now=now,
        actor=step.actor,
        evidence=_evidence(payment, row, step, after_close),
        provider_payment_id=payment.provider_payment_id or row.provider_payment_id,
        provider_charge_id=row.provider_charge_id,
        amount_captured=amount.amount,
        captured_at=now,
        confirmed_at=now,
        **payments.NOTHING_NEXT,
        dispatch_after=NOT_HELD,
        decline_code=None,
        decline_class=None,
        **NOT_PARKED,
        decision=decided(DecisionKind.CORRECTED_BY_SETTLEMENT),
    )
    _post(conn, payment, row, amount, now)
    if payment.subscription_id is not None:
        _tell_subscription(conn, payment, row, now, step.actor)


def _evidence(
    payment: LockedPayment, row: SettlementRow, step: StepRun, after_close: bool
) -> dict[str, Any]:
    """Return both sides before the correction; the cycle's digest depends on `after_close`."""
    return {
        "balance_transaction": row.provider_transaction_id,
        "charge": row.provider_charge_id,
        "provider_payment": row.provider_payment_id,
        "amount": row.amount,
        "currency": row.currency,
        "charged_at": row.created.isoformat(),
        "run": str(step.run.id),
        "was": payment.state,
        "invoice_was": payment.invoice_status,
        "provider_payment_was": payment.provider_payment_id,
        "after_close": after_close,
    }


def _post(
    conn: Connection, payment: LockedPayment, row: SettlementRow, amount: Money, now: datetime
) -> None:
    """Reverse the write-off, if there was one, book the capture, and mark the invoice as paid."""
    if payment.state == State.FAILED and payment.invoice_id is not None:
        nth = payment_history.times_failed(conn, payment.id)
        posting.reverse(
            conn,
            keys.write_off(payment.invoice_id, nth),
            recipes.write_off_reversed,
            effective_at=now,
            after_close=payment.cycle_state == "closed",
        )
    capture = row.provider_charge_id or row.provider_transaction_id
    post_capture(conn, payment, capture, amount, now)
    pay_invoice(conn, payment, now)


def _tell_subscription(
    conn: Connection, payment: LockedPayment, row: SettlementRow, now: datetime, actor: Actor
) -> None:
    """Make a subscription active that waited for the money; a canceled one stays canceled."""
    assert payment.subscription_id is not None
    recover_subscription(conn, payment, now, actor)
    ended = payment.subscription_status is Status.CANCELED
    subscriptions.note(
        conn,
        payment.subscription_id,
        at=now,
        kind=SubscriptionEventKind.CORRECTED,
        actor=actor,
        payment=payment.id,
        balance_transaction=row.provider_transaction_id,
        canceled=ended,
    )
