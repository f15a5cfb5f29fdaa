"""Capturing or voiding what was authorised: now, later, or when it expires.

    request_capture, request_void   the caller's transaction: what is to be done is written down
    begin                           transaction 1: leased
    (gateway)                       the call, outside any transaction; see `attempt`
    finish                          transaction 2: state and entries

An authorisation is made by an ordinary attempt (`collect`) of a payment that is captured by
hand. From then on something always follows: it is voided when it expires, unless somebody
captures or voids it before. A capture of a part gives the rest free.
At the provider a payment is captured once, so asking again is safe whatever became of the answer.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from sqlalchemy import Connection, Engine

from billing.errors import BadInput, BillingError, Conflict, ErrorCode, NotFound
from billing.flows.payments.captures import post_capture
from billing.flows.policy import Policy
from billing.gateway import (
    Absent,
    ActionRequired,
    Declined,
    Deferred,
    Gateway,
    Outcome,
    Rejected,
    Succeeded,
    Unknown,
    canceled,
)
from billing.ids import new_id
from billing.rules.actor import WORKER, Actor
from billing.rules.money import Money
from billing.rules.payments import (
    AttemptKind,
    AttemptOutcome,
    CallKind,
    Cause,
    PaymentStatus,
    RefusalReason,
    State,
)
from billing.rules.reconciliation import BreakFound, BreakKind
from billing.store.dispatch import NOT_HELD
from billing.store.payments import payments, provider_calls
from billing.store.payments.payments import LockedPayment, Payment
from billing.store.settlement import breaks
from billing.store.subscriptions.parking import NOT_PARKED, parked_for
from plans.currencies import charge_step

AuthorizedKind = Literal[AttemptKind.CAPTURE, AttemptKind.VOID]

CAPTURE: Final = AttemptKind.CAPTURE
VOID: Final = AttemptKind.VOID
# Refusals after which there is nothing left to capture.
_GONE: Final = frozenset({RefusalReason.PAYMENT_CANCELED, RefusalReason.AUTHORIZATION_EXPIRED})


def request_capture(
    conn: Connection,
    payment_id: UUID,
    *,
    amount: Money | None = None,
    now: datetime,
    actor: Actor,
) -> Money:
    """Ask for the capture of an authorised payment, or of a part; return what is captured.

    In the caller's transaction; a worker does it once that is committed. Asking again for the
    same changes nothing. Raises `NotFound`, `Conflict`, `BadInput`.
    """
    payment = _lock(conn, payment_id)
    amount = capturable(payment, amount, now)
    if payment.capture_amount is None:
        payments.change(
            conn,
            payment_id,
            now,
            capture_amount=amount.amount,
            next_attempt_at=now,
            next_attempt_kind=CAPTURE,
            dispatch_after=NOT_HELD,
            decision=f"{actor} asked for the capture of {amount}",
        )
    return amount


def _lock(conn: Connection, payment_id: UUID) -> LockedPayment:
    payment = payments.lock_payment(conn, payment_id)
    if payment is None:
        raise NotFound(
            f"no payment {payment_id}", code=ErrorCode.PAYMENT_NOT_FOUND, payment_id=payment_id
        )
    return payment


def capturable(payment: Payment, amount: Money | None, now: datetime) -> Money:
    """Return what would be captured of a payment. Raises `Conflict`, `BadInput`."""
    _refuse_unless_authorised(payment, now)
    whole = payment.money
    if amount is None:
        amount = whole
    elif amount.currency != whole.currency:
        raise BadInput(f"payment {payment.id} was authorised in {whole.currency}, not in {amount}")
    elif not 0 < amount.amount <= whole.amount:
        raise BadInput(f"of {whole} authorised, {amount} can't be captured")
    elif amount.amount % charge_step(amount.currency):
        raise BadInput(f"{amount} can't be paid in {amount.currency}: its last digit has to be 0")
    if payment.capture_amount not in (None, amount.amount):
        raise Conflict(f"the capture of {payment.to_capture} is under way for payment {payment.id}")
    return amount


def _refuse_unless_authorised(payment: Payment, now: datetime) -> None:
    if payment.state != State.AUTHORIZED:
        raise Conflict(
            f"payment {payment.id} is {payment.state}, not authorised",
            code=ErrorCode.PAYMENT_NOT_AUTHORISED,
            payment_id=payment.id,
        )
    if payment.parked_at is not None:
        raise Conflict(
            f"payment {payment.id} is parked: {payment.parked_error}",
            code=ErrorCode.PAYMENT_PARKED,
            payment_id=payment.id,
        )
    if payment.has_next(VOID, now):
        raise Conflict(f"payment {payment.id} is being voided: {payment.decision}")


def request_void(
    conn: Connection, payment_id: UUID, *, now: datetime, actor: Actor, why: str
) -> None:
    """Ask that an authorised payment be given up; a worker does it.

    One that was not sent to the provider yet is given up at once. Raises `NotFound`, `Conflict`.
    """
    payment = _lock(conn, payment_id)
    words = f"voided by {actor}: {why}"
    if payment.state == State.CREATED and payment.invoice_id is None:
        if payment.open_attempt_n is not None:
            raise Conflict(
                f"payment {payment_id} is being authorised: its outcome is being asked for",
                code=ErrorCode.AUTHORISATION_UNDER_WAY,
                payment_id=payment_id,
            )
        _fail(conn, payment, Cause.VOID, words, now, actor)
        return
    _refuse_unless_authorised(payment, now)
    if payment.capture_amount is not None:
        raise Conflict(
            f"payment {payment_id} is being captured",
            code=ErrorCode.CAPTURE_UNDER_WAY,
            payment_id=payment_id,
        )
    payments.change(
        conn,
        payment_id,
        now,
        next_attempt_at=now,
        next_attempt_kind=VOID,
        dispatch_after=NOT_HELD,
        decision=words,
    )


# --- transaction 1, the call --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AuthorizationStep:
    """A capture or a void that may be sent now; without a `call_id` it is only heard of."""

    payment_id: UUID
    provider: str
    kind: AuthorizedKind
    provider_payment_id: str
    amount: Money
    idempotency_key: str = ""
    call_id: UUID | None = None
    sends: int = 1


def begin(
    engine: Engine, payment_id: UUID, *, now: datetime, wall: datetime, policy: Policy
) -> AuthorizationStep | None:
    """Lease what is to be done with an authorised payment; None when there is no call to make."""
    with engine.begin() as conn:
        row = payments.lock_for_step(conn, payment_id, now=now, wall=wall)
        if row is None:
            return None
        lease = wall + policy.lease
        payments.change(conn, payment_id, now, lease_until=lease, dispatch_after=lease)
        assert row.provider_payment_id is not None, "what is authorised is known at the provider"
        kind: AuthorizedKind = CAPTURE if row.next_attempt_kind is CAPTURE else VOID
        call = provider_calls.begin(
            conn,
            call_id=new_id(),
            kind=CallKind(kind),
            subject_id=row.id,
            customer_id=row.customer_id,
            key=f"{policy.mode}:payment:{row.id}:{kind}:{row.to_capture.amount}:c",
            request={
                "provider_payment_id": row.provider_payment_id,
                "amount": row.to_capture.amount,
                "currency": row.currency,
            },
            now=now,
        )
        return AuthorizationStep(
            payment_id=row.id,
            provider=row.provider,
            kind=kind,
            provider_payment_id=call.request["provider_payment_id"],
            amount=Money(call.request["amount"], call.request["currency"]),
            idempotency_key=call.idempotency_key,
            call_id=call.id,
            sends=call.sends,
        )


def attempt(gateway: Gateway, step: AuthorizationStep) -> Outcome | Absent:
    """Send a capture or a void. Holds no transaction.

    An error may be all that is ever replayed under a key, so where the answer says nothing, the
    payment itself is looked at: captured and canceled are ends that stay.
    """
    if step.kind is CAPTURE:
        answer: Outcome | Absent = gateway.capture(
            step.provider_payment_id, step.amount, idempotency_key=step.idempotency_key
        )
    else:
        answer = gateway.cancel(step.provider_payment_id, idempotency_key=step.idempotency_key)
    return _looked_at(gateway, step, answer) if isinstance(answer, Unknown) else answer


def _looked_at(gateway: Gateway, step: AuthorizationStep, unknown: Unknown) -> Outcome | Absent:
    try:
        found = gateway.payment(step.provider_payment_id)
    except BillingError:
        return unknown
    if found is None:
        return unknown
    if found.status is PaymentStatus.CAPTURED and (
        step.kind is VOID or found.amount_received == step.amount
    ):
        return Succeeded(found.id, found.amount_received, provider_charge_id=found.latest_charge_id)
    if found.status is PaymentStatus.CANCELED:
        return Absent() if step.kind is VOID else canceled(f"{found.id} is canceled")
    return unknown


# --- transaction 2 ------------------------------------------------------------------------------


def finish(
    engine: Engine,
    step: AuthorizationStep,
    outcome: Outcome | Absent,
    *,
    now: datetime,
    wall: datetime,
    policy: Policy,
) -> State:
    """Write down what a capture or a void brought, and return where the payment stands.

    Running it twice for one step changes nothing.
    """
    with engine.begin() as conn:
        payment = payments.lock_known_payment(conn, step.payment_id)
        if payment.state != State.AUTHORIZED:
            return payment.state
        _note_on_call(conn, step, outcome, now)
        lost = _why_lost(outcome)
        if lost is not None:
            return _fail(conn, payment, Cause.OUTCOME, lost, now, WORKER)
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
                told = outcome.retry_after if isinstance(outcome, Deferred) else None
                again_at = wall + policy.pause(step.sends, told)
                payments.change(conn, payment.id, now, lease_until=None, dispatch_after=again_at)
        return State.AUTHORIZED


def _note_on_call(
    conn: Connection, step: AuthorizationStep, outcome: Outcome | Absent, now: datetime
) -> None:
    """Write what was said on the call: its end, or that it is still to be asked for.

    A call of the other kind, if one is open, was not executed when this one came to its end.
    """
    match outcome:
        case Succeeded():
            end = {CAPTURE: AttemptOutcome.SUCCEEDED, VOID: AttemptOutcome.ABSENT}
        case Absent():
            end = {CAPTURE: AttemptOutcome.ABSENT, VOID: AttemptOutcome.SUCCEEDED}
        case Declined():
            end = {step.kind: AttemptOutcome.DECLINED}
        case Rejected():
            end = {step.kind: AttemptOutcome.REJECTED}
        case _:
            _still_open(conn, step, outcome, now)
            return
    request_id = None if isinstance(outcome, Absent) else outcome.request_id
    ends = {CallKind(kind): ended for kind, ended in end.items()}
    provider_calls.finish(conn, step.payment_id, ends, now, request_id)


def _still_open(
    conn: Connection,
    step: AuthorizationStep,
    outcome: ActionRequired | Unknown | Deferred,
    now: datetime,
) -> None:
    if step.call_id is None:
        return
    error_class = "action_required" if isinstance(outcome, ActionRequired) else outcome.error_class
    provider_calls.still_open(
        conn,
        step.call_id,
        step.sends,
        error_class=error_class,
        error_message=outcome.message,
        unknown_since=now if isinstance(outcome, Unknown) else None,
    )


def _why_lost(outcome: Outcome | Absent) -> str | None:
    """Return in words why there is nothing to capture any more, if that is what was said."""
    match outcome:
        case Declined(decline_code=code):
            return f"the capture was declined: {code}"
        case Rejected(reason=reason, message=message) if reason in _GONE:
            return f"the authorisation is gone: {message}"
        case _:
            return None


def _captured(
    conn: Connection,
    payment: LockedPayment,
    step: AuthorizationStep,
    outcome: Succeeded,
    now: datetime,
) -> State:
    """The money is ours: payment CAPTURED with what was captured, which a void may find too."""
    words = f"{outcome.amount} of {payment.money} captured"
    if step.kind is VOID:
        words += " at the provider before it could be voided"
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
        decision=words,
    )
    post_capture(conn, payment, payment.attempt_n, outcome.amount, now)
    return State.CAPTURED


def _voided(conn: Connection, payment: LockedPayment, now: datetime) -> State:
    assert payment.authorized_until is not None, "an authorisation expires"
    if payment.capture_amount is not None or now < payment.authorized_until:
        return _fail(conn, payment, Cause.VOID, payment.decision or "", now, WORKER)
    words = f"the authorisation expired on {payment.authorized_until:%Y-%m-%d %H:%M} UTC"
    return _fail(conn, payment, Cause.EXPIRED, words, now, WORKER)


def _fail(
    conn: Connection, payment: LockedPayment, cause: Cause, words: str, now: datetime, actor: Actor
) -> State:
    """Nothing will be captured: the payment is FAILED, and nothing was ever posted for it."""
    payments.move(
        conn,
        payment.id,
        [payment.state, State.FAILED],
        cause=cause,
        now=now,
        actor=actor,
        evidence={"words": words},
        **payments.NOTHING_NEXT,
        **NOT_PARKED,
        decision=words,
    )
    return State.FAILED


def _refused(
    conn: Connection,
    payment: LockedPayment,
    step: AuthorizationStep,
    outcome: Rejected,
    now: datetime,
) -> None:
    """The request was refused, the authorisation stands: it goes on as if nothing was asked."""
    if step.kind is VOID:
        payments.change(
            conn,
            payment.id,
            now,
            lease_until=None,
            dispatch_after=NOT_HELD,
            **parked_for(now, "rejected", f"{outcome.error_class}: {outcome.message}"),
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
        decision=f"the capture was refused: {outcome.error_class}: {outcome.message}",
    )


def _park_mismatch(
    conn: Connection,
    payment: LockedPayment,
    step: AuthorizationStep,
    outcome: Unknown,
    now: datetime,
) -> None:
    """Somebody captured another amount at the provider: a person must look."""
    found = BreakFound(
        kind=BreakKind.AMOUNT_MISMATCH,
        subject=payment.id,
        ours={"amount": step.amount.amount, "currency": step.amount.currency},
        theirs={"answer": outcome.message, "provider_payment": step.provider_payment_id},
        payment_id=payment.id,
    )
    breaks.record(conn, found, now=now)
    payments.change(
        conn,
        payment.id,
        now,
        lease_until=None,
        dispatch_after=NOT_HELD,
        **parked_for(now, "amount_mismatch", outcome.message),
    )
