"""What became of a capture or a void: transaction 2, the payment's state and its entries."""

from datetime import datetime
from typing import Any, Final, TypedDict

from sqlalchemy import Connection

from billing.crash_points import CrashPoint, marked
from billing.flows.context import Context
from billing.flows.payments.authorization_sending import CAPTURE, VOID, AuthorizationStep
from billing.flows.payments.captures import post_capture
from billing.flows.payments.parking import park
from billing.flows.provider_calls import note_unanswered, pause
from billing.gateway import (
    Absent,
    Declined,
    Outcome,
    Rejected,
    Succeeded,
    Unknown,
)
from billing.rules.actor import WORKER, Actor
from billing.rules.decisions import Decision, DecisionKind, decided, evidence_of
from billing.rules.payments import AttemptOutcome, CallKind, Cause, RefusalReason, State
from billing.rules.reconciliation import BreakFound, BreakKind
from billing.store.dispatch import NOT_HELD
from billing.store.payments import payments, provider_calls
from billing.store.payments.payments import LockedPayment
from billing.store.settlement import breaks
from billing.store.subscriptions.parking import NOT_PARKED

# Refusals that end an authorisation.
_GONE: Final = frozenset({RefusalReason.PAYMENT_CANCELED, RefusalReason.AUTHORIZATION_EXPIRED})


def finish(context: Context, step: AuthorizationStep, outcome: Outcome | Absent) -> State:
    """Write the outcome of a capture or a void, and return the payment's state.

    A second run for the same step changes nothing.
    """
    policy, now, wall = context.policy, context.clock.now(), context.clock.wall()
    with marked(CrashPoint.STEP_RECORDED), context.engine.begin() as conn:
        payment = payments.lock_known_payment(conn, step.payment_id)
        if payment.state != State.AUTHORIZED:
            return payment.state
        if not _note_on_call(conn, step, outcome, now):
            return payment.state
        lost = _why_lost(outcome)
        if lost is not None:
            return fail(conn, payment, Cause.OUTCOME, lost, now, WORKER)
        match outcome:
            case Succeeded():
                return _captured(conn, payment, step, outcome, now)
            case Absent():
                return _voided(conn, payment, now)
            case Rejected():
                _refused(conn, payment, step, outcome, now)
            case Unknown(error_class="wrong_amount"):
                _park_mismatch(conn, payment, step, outcome, now)
            case _:
                again_at = wall + pause(outcome, step.sends, policy)
                payments.change(conn, payment.id, now, lease_until=None, dispatch_after=again_at)
        return State.AUTHORIZED


def _note_on_call(
    conn: Connection, step: AuthorizationStep, outcome: Outcome | Absent, now: datetime
) -> bool:
    """Write the outcome of the call, or that it has none yet; False where it had an end before.

    A refusal and an indefinite answer are about this call alone: one that comes late must not end
    the call that was made after it. Anything else is about the payment, and ends its open calls; an
    open call of the other kind was not executed then.
    """
    match outcome:
        case Succeeded():
            end = {CAPTURE: AttemptOutcome.SUCCEEDED, VOID: AttemptOutcome.ABSENT}
        case Absent():
            end = {CAPTURE: AttemptOutcome.ABSENT, VOID: AttemptOutcome.SUCCEEDED}
        case Declined():
            end = {step.kind: AttemptOutcome.DECLINED}
        case Rejected(reason=reason) if reason in _GONE or step.call is None:
            end = {step.kind: AttemptOutcome.REJECTED}
        case Rejected():
            assert step.call is not None
            refused, asked = AttemptOutcome.REJECTED, outcome.request_id
            return provider_calls.finish_one(conn, step.call, refused, now, asked)
        case _:
            return step.call is None or note_unanswered(conn, step.call, outcome, now)
    request_id = None if isinstance(outcome, Absent) else outcome.request_id
    ends = {CallKind(kind): ended for kind, ended in end.items()}
    provider_calls.finish(conn, step.payment_id, ends, now, request_id)
    return True


def _why_lost(outcome: Outcome | Absent) -> Decision | None:
    """Return why the authorisation has ended, if it has."""
    match outcome:
        case Declined(decline_code=code):
            return decided(DecisionKind.CAPTURE_DECLINED, code=code)
        case Rejected(reason=reason, message=message) if reason in _GONE:
            return decided(DecisionKind.AUTHORISATION_GONE, message=message)
        case _:
            return None


def _captured(
    conn: Connection,
    payment: LockedPayment,
    step: AuthorizationStep,
    outcome: Succeeded,
    now: datetime,
) -> State:
    """Write a capture: payment CAPTURED with the amount captured. A void may find one, too."""
    voiding = step.kind is VOID
    kind = DecisionKind.CAPTURED_BEFORE_VOID if voiding else DecisionKind.AUTHORISATION_CAPTURED
    payments.move(
        conn,
        payment.id,
        [State.AUTHORIZED, State.CAPTURED],
        cause=Cause.OUTCOME,
        now=now,
        actor=WORKER,
        evidence={
            "provider_payment": outcome.provider_payment_id,
            "provider_charge": outcome.provider_charge_id,
            "provider_request": outcome.request_id,
        },
        provider_charge_id=outcome.provider_charge_id or payment.provider_charge_id,
        amount_captured=outcome.amount.amount,
        captured_at=now,
        **payments.NOTHING_NEXT,
        decision=decided(
            kind,
            captured=outcome.amount.amount,
            authorised=payment.amount,
            currency=payment.currency,
        ),
    )
    post_capture(conn, payment, payment.attempt_n, outcome.amount, now)
    return State.CAPTURED


def _voided(conn: Connection, payment: LockedPayment, now: datetime) -> State:
    assert payment.authorized_until is not None, "an authorisation expires"
    if payment.capture_amount is not None or now < payment.authorized_until:
        return fail(conn, payment, Cause.VOID, None, now, WORKER)
    kind = DecisionKind.AUTHORISATION_EXPIRED
    expired = decided(kind, expired_at=payment.authorized_until)
    return fail(conn, payment, Cause.EXPIRED, expired, now, WORKER)


class _NewDecision(TypedDict, total=False):
    decision: Decision


def fail(
    conn: Connection,
    payment: LockedPayment,
    cause: Cause,
    decision: Decision | None,
    now: datetime,
    actor: Actor,
) -> State:
    """Write the end of an authorisation: payment FAILED. Nothing was ever posted for it.

    Without a decision the payment keeps the one that it has, which asked for this.
    """
    evidence: dict[str, Any] = (
        {"decision": payment.decision, "decision_facts": dict(payment.decision_facts)}
        if decision is None
        else evidence_of(decision)
    )
    new: _NewDecision = {} if decision is None else {"decision": decision}
    payments.move(
        conn,
        payment.id,
        [payment.state, State.FAILED],
        cause=cause,
        now=now,
        actor=actor,
        evidence=evidence,
        **payments.NOTHING_NEXT,
        **NOT_PARKED,
        **new,
    )
    return State.FAILED


def _refused(
    conn: Connection,
    payment: LockedPayment,
    step: AuthorizationStep,
    outcome: Rejected,
    now: datetime,
) -> None:
    """Drop a request that the provider refused: the authorisation stays as it was before."""
    if step.kind is VOID:
        park(
            conn,
            payment.id,
            now,
            reason="rejected",
            error=f"{outcome.error_class}: {outcome.message}",
        )
        return
    payments.change(
        conn,
        payment.id,
        now,
        capture_amount=None,
        next_attempt_at=payment.authorized_until,
        next_attempt_kind=VOID,
        lease_until=None,
        dispatch_after=NOT_HELD,
        decision=decided(
            DecisionKind.CAPTURE_REFUSED,
            error_class=outcome.error_class,
            message=outcome.message,
        ),
    )


def _park_mismatch(
    conn: Connection,
    payment: LockedPayment,
    step: AuthorizationStep,
    outcome: Unknown,
    now: datetime,
) -> None:
    """Record a break: somebody captured another amount at the provider."""
    found = BreakFound(
        kind=BreakKind.AMOUNT_MISMATCH,
        subject=payment.id,
        ours={"amount": step.amount.amount, "currency": step.amount.currency},
        theirs={"answer": outcome.message, "provider_payment": step.provider_payment_id},
        payment_id=payment.id,
    )
    breaks.record(conn, found, now=now)
    park(conn, payment.id, now, reason="amount_mismatch", error=outcome.message)
