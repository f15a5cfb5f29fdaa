"""Writing the outcome of an attempt, inside the caller's transaction."""

from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from billing.flows.payments.authorization_outcomes import fail
from billing.flows.payments.captures import authorized, captured
from billing.flows.payments.declines import declined, is_last_attempt
from billing.flows.payments.parking import park
from billing.flows.payments.write_offs import end_last_attempt
from billing.flows.policy import Policy
from billing.flows.provider_calls import note_unanswered
from billing.gateway import (
    Absent,
    ActionRequired,
    Declined,
    Deferred,
    Outcome,
    Rejected,
    Succeeded,
    Unknown,
)
from billing.rules.actor import WORKER
from billing.rules.decisions import Decision, DecisionKind, decided
from billing.rules.payments import (
    AttemptKind,
    AttemptOutcome,
    CaptureMethod,
    Cause,
    RefusalReason,
)
from billing.rules.reconciliation import BreakFound, BreakKind
from billing.store.dispatch import NOT_HELD
from billing.store.payments import attempts, payments
from billing.store.payments.payments import LockedPayment, PaymentChange
from billing.store.payments.provider_calls import ProviderCall
from billing.store.settlement import breaks

# Answers about another amount, currency or payment than ours: the attempt stays open, and a break
# tells a person.
CONTRADICTIONS: Final = {
    "wrong_amount": BreakKind.AMOUNT_MISMATCH,
    "wrong_currency": BreakKind.CURRENCY_MISMATCH,
}


def apply(
    conn: Connection,
    payment: LockedPayment,
    call: ProviderCall,
    *,
    outcome: Outcome | Absent,
    now: datetime,
    again_at: datetime,
    policy: Policy,
) -> None:
    """Write the outcome of a payment's open attempt, whose call this is.

    An attempt that is still unknown is asked for again from `again_at` (real time) on.
    """
    match outcome:
        case Succeeded(captured=False) if payment.capture_method is CaptureMethod.MANUAL:
            authorized(conn, payment, call, outcome=outcome, now=now, actor=WORKER, policy=policy)
        case Succeeded():
            captured(conn, payment, call, outcome=outcome, now=now, actor=WORKER)
        case Declined() | ActionRequired():
            declined(conn, payment, attempt_n=call.n, outcome=outcome, now=now, policy=policy)
        case Rejected():
            _rejected(conn, payment, call, outcome, now, policy)
        case Unknown() | Deferred():
            _unanswered(conn, payment, call, outcome, now, again_at)
        case Absent():
            _proven_absent(conn, payment, now, policy)


def _rejected(
    conn: Connection,
    payment: LockedPayment,
    call: ProviderCall,
    outcome: Rejected,
    now: datetime,
    policy: Policy,
) -> None:
    """Write that the provider refused our request as wrong: park the payment, unless it was
    canceled there.

    An authorisation may have been made and lapsed before its outcome was known: whoever asked for
    it decides whether there is another one.
    """
    is_canceled = outcome.reason is RefusalReason.PAYMENT_CANCELED
    refused = DecisionKind.CANCELED_AT_PROVIDER if is_canceled else DecisionKind.REQUEST_REFUSED
    attempts.finish(
        conn,
        payment.id,
        AttemptOutcome.REJECTED,
        now,
        outcome.request_id,
        message=f"{outcome.error_class}: {outcome.message}",
        decision=decided(refused),
    )
    if is_canceled and payment.capture_method is CaptureMethod.MANUAL:
        gone = decided(DecisionKind.AUTHORISATION_GONE, message=outcome.message)
        fail(conn, payment, Cause.OUTCOME, gone, now, WORKER)
    elif is_canceled:
        # Somebody canceled the payment at the provider. It can never be paid, so a new one is safe.
        payments.change(conn, payment.id, now, provider_payment_id=None)
        _made_anew(conn, payment, decided(refused), now, policy)
    else:
        error = f"{outcome.error_class}: {outcome.message}"
        park(conn, payment.id, now, reason="rejected", error=error)


def _unanswered(
    conn: Connection,
    payment: LockedPayment,
    call: ProviderCall,
    outcome: Unknown | Deferred,
    now: datetime,
    again_at: datetime,
) -> None:
    """Keep an attempt open that has no definite answer; a worker asks again from `again_at` on."""
    if outcome.error_class in CONTRADICTIONS:
        _record_contradiction(conn, payment, call.n, outcome, now)
    note_unanswered(conn, call, outcome, now)
    values: PaymentChange = {"lease_until": None, "dispatch_after": again_at}
    if isinstance(outcome, Unknown) and outcome.provider_payment_id is not None:
        values["provider_payment_id"] = outcome.provider_payment_id
    payments.change(conn, payment.id, now, **values)


def _record_contradiction(
    conn: Connection,
    payment: LockedPayment,
    attempt_n: int,
    outcome: Unknown | Deferred,
    now: datetime,
) -> None:
    """Record a break: the provider's answer is about other money than ours. Asking again won't
    explain it.
    """
    found = BreakFound(
        kind=CONTRADICTIONS[outcome.error_class],
        subject=f"{payment.id}:{attempt_n}",
        ours={"payment": str(payment.id), "amount": payment.amount, "currency": payment.currency},
        theirs={"answer": outcome.message, "payment": payment.provider_payment_id},
        cycle_id=payment.cycle_id,
        payment_id=payment.id,
    )
    breaks.record(conn, found, now=now)


def _proven_absent(conn: Connection, payment: LockedPayment, now: datetime, policy: Policy) -> None:
    """Close the attempt as absent and allow a new one, on the same rung."""
    last = is_last_attempt(payment)
    decision = decided(DecisionKind.ABSENT_AND_CANCELED if last else DecisionKind.ABSENT)
    attempts.finish(conn, payment.id, AttemptOutcome.ABSENT, now, decision=decision)
    _made_anew(conn, payment, decision, now, policy)


def _made_anew(
    conn: Connection, payment: LockedPayment, decision: Decision, now: datetime, policy: Policy
) -> None:
    """Let a charge that wasn't made be made anew, unless its subscription ended meanwhile."""
    payments.change(
        conn,
        payment.id,
        now,
        next_attempt_at=now,
        next_attempt_kind=AttemptKind.ABSENT,
        lease_until=None,
        dispatch_after=NOT_HELD,
    )
    if is_last_attempt(payment):
        end_last_attempt(conn, payment, now=now, decision=decision, policy=policy)
