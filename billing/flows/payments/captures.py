"""Writing captures and authorisations, inside the caller's transaction.

Each function takes the payment locked by `payments.lock_payment`. Locks are taken in one order
everywhere: payments first, then their subscription.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from billing.flows.cycles import bought
from billing.flows.payments.subscription_status import recover_subscription
from billing.flows.policy import Policy
from billing.gateway import Succeeded
from billing.ledger import recipes
from billing.rules.actor import Actor
from billing.rules.decisions import DecisionKind, decided
from billing.rules.invoices import InvoiceStatus
from billing.rules.money import Money
from billing.rules.payments import (
    AttemptKind,
    AttemptOutcome,
    CaptureMethod,
    Cause,
    State,
)
from billing.rules.reconciliation import BreakFound, BreakKind
from billing.store.dispatch import NOT_HELD
from billing.store.journal import posting
from billing.store.payments import attempts, invoices, payments
from billing.store.payments.payments import LockedPayment
from billing.store.payments.provider_calls import ProviderCall
from billing.store.settlement import breaks
from billing.store.subscriptions.parking import parked_for


def captured(
    conn: Connection,
    payment: LockedPayment,
    call: ProviderCall,
    *,
    outcome: Succeeded,
    now: datetime,
    actor: Actor,
) -> None:
    """Write a capture: payment CAPTURED, invoice paid, entry posted, subscription active."""
    if outcome.amount != payment.money:
        _park_mismatch(conn, payment, outcome, payment.money, now)
        return
    if payment.capture_method is CaptureMethod.MANUAL:  # captured elsewhere before we read it
        payments.change(conn, payment.id, now, authorized_until=now)
    attempts.finish(
        conn,
        payment.id,
        AttemptOutcome.SUCCEEDED,
        now,
        outcome.request_id,
        decision=decided(DecisionKind.CAPTURED),
    )
    payments.move(
        conn,
        payment.id,
        [State.CREATED, State.AUTHORIZED, State.CAPTURED],
        cause=Cause.OUTCOME,
        now=now,
        actor=actor,
        evidence=_evidence(call.n, outcome),
        provider_payment_id=outcome.provider_payment_id,
        provider_charge_id=outcome.provider_charge_id,
        amount_captured=outcome.amount.amount,
        captured_at=now,
        **payments.NOTHING_NEXT,
        decline_code=None,
        decline_class=None,
        decision=decided(DecisionKind.CAPTURED),
    )
    post_capture(conn, payment, call.n, outcome.amount, now)
    pay_invoice(conn, payment, now)
    if payment.subscription_id is not None:
        recover_subscription(conn, payment, now, actor)


def pay_invoice(conn: Connection, payment: LockedPayment, now: datetime) -> None:
    """Mark the invoice of a captured payment as paid, if the payment has one.

    Credit that it was for is granted.
    """
    if payment.invoice_id is not None and payment.invoice_status is not None:
        invoices.move(conn, payment.invoice_id, payment.invoice_status, InvoiceStatus.PAID, now)
        bought.grant(conn, payment, now)


def post_capture(
    conn: Connection, payment: LockedPayment, capture: int | str, amount: Money, now: datetime
) -> None:
    """Post a capture; for a charge without an invoice, post its receivable and revenue as well."""
    entries = []
    if payment.invoice_id is None:
        entries.append(
            recipes.one_off_charged(
                payment_id=payment.id,
                customer_id=payment.customer_id,
                amount=amount,
                effective_at=now,
            )
        )
    entries.append(
        recipes.payment_captured(
            payment_id=payment.id,
            provider=payment.provider,
            capture=capture,
            customer_id=payment.customer_id,
            cycle_id=payment.cycle_id if payment.cycle_state == "opened" else None,
            amount=amount,
            effective_at=now,
        )
    )
    posting.post(conn, entries)


def authorized(
    conn: Connection,
    payment: LockedPayment,
    call: ProviderCall,
    *,
    outcome: Succeeded,
    now: datetime,
    actor: Actor,
    policy: Policy,
) -> None:
    """Write an authorisation: payment AUTHORIZED, to be captured before it expires.

    The same transaction schedules the void at expiry, which happens unless the payment is captured
    before.
    """
    if outcome.amount != payment.money:
        _park_mismatch(conn, payment, outcome, payment.money, now)
        return
    until = now + policy.authorization_window
    decision = decided(DecisionKind.AUTHORISED, until=until)
    attempts.finish(
        conn,
        payment.id,
        AttemptOutcome.SUCCEEDED,
        now,
        outcome.request_id,
        decision=decision,
    )
    payments.move(
        conn,
        payment.id,
        [State.CREATED, State.AUTHORIZED],
        cause=Cause.OUTCOME,
        now=now,
        actor=actor,
        evidence=_evidence(call.n, outcome),
        provider_payment_id=outcome.provider_payment_id,
        provider_charge_id=outcome.provider_charge_id,
        authorized_until=until,
        next_attempt_at=until,
        next_attempt_kind=AttemptKind.VOID,
        lease_until=None,
        dispatch_after=NOT_HELD,
        decline_code=None,
        decline_class=None,
        decision=decision,
    )


def _evidence(attempt_n: int, outcome: Succeeded) -> dict[str, Any]:
    return {
        "attempt": attempt_n,
        "provider_payment": outcome.provider_payment_id,
        "provider_charge": outcome.provider_charge_id,
        "provider_request": outcome.request_id,
    }


def _park_mismatch(
    conn: Connection, payment: LockedPayment, outcome: Succeeded, expected: Money, now: datetime
) -> None:
    """Record a break and park the payment: the provider took another amount than we asked for."""
    found = BreakFound(
        kind=BreakKind.AMOUNT_MISMATCH,
        subject=payment.id,
        ours={"amount": expected.amount, "currency": expected.currency},
        theirs={
            "amount": outcome.amount.amount,
            "currency": outcome.amount.currency,
            "provider_payment": outcome.provider_payment_id,
        },
        cycle_id=payment.cycle_id,
        payment_id=payment.id,
    )
    breaks.record(conn, found, now=now)
    payments.change(
        conn,
        payment.id,
        now,
        lease_until=None,
        **parked_for(
            now,
            "amount_mismatch",
            f"captured {outcome.amount} at the provider, {expected} were asked for",
        ),
    )
