"""Events about payments: an open attempt adopts the answer; otherwise both sides are compared.

An event never captures anything. Where our side waits for an answer, the handler looks it up as the
worker would, and the same code writes it. Otherwise the handler compares both sides, and a
difference becomes a break.

    open attempt, leased by a worker    the worker first; the event is tried again
    open attempt                        `gateway.look_up`, then `collecting.finish`
    authorised                          captured or canceled there: `authorization_outcomes.finish`
    captured, and declined there since  `declined_settlements.undo`, or a break
    anything else                       agreed, or a break
"""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection

from billing.flows.context import Context
from billing.flows.payments import authorization_outcomes, collecting, declined_settlements
from billing.flows.payments.authorization_sending import CAPTURE, VOID, AuthorizationStep
from billing.flows.payments.collecting import ChargeSend, to_send
from billing.flows.webhooks.results import (
    Adopted,
    Effects,
    EventOutcome,
    EventWaits,
    Handled,
    ObjectEvents,
    Waiting,
    only,
)
from billing.gateway import (
    Absent,
    Declined,
    Deferred,
    EventKind,
    Outcome,
    ProviderPayment,
    Rejected,
    Succeeded,
    Unknown,
    canceled,
)
from billing.rules.money import Money
from billing.rules.payments import AttemptKind, CallKind, PaymentStatus, State
from billing.rules.reconciliation import (
    BreakCause,
    BreakFound,
    BreakKind,
    Confirmed,
    Difference,
    OurSide,
    ProviderSide,
    compare,
    is_of_another,
)
from billing.store.identity import engine_id
from billing.store.payments import attempts, disputes, payments, provider_calls
from billing.store.payments.payments import LockedPayment, Payment
from billing.store.settlement import breaks

# States in which the money is booked: a success needs no request to the provider.
_BOOKED: Final = frozenset({State.CAPTURED, State.SETTLED, State.REFUNDED})


def payment(context: Context, events: ObjectEvents) -> Effects:
    """A payment succeeded, failed, was canceled, or may be captured."""
    if events.kinds == {EventKind.PAYMENT_SUCCEEDED} and _is_booked(context, events.object_id):
        # Nearly all events are about booked payments: they cost no request.
        return only(EventOutcome.ALREADY_BOOKED)
    found = context.gateway.payment(events.object_id)
    if found is None:
        return only(EventOutcome.OBJECT_GONE)
    with context.engine.connect() as conn:
        ours = _our_payment(conn, context.account, found)
        sending = None if ours is None else _waiting(conn, ours)
    if ours is None:
        return lambda conn: _compare(conn, context, found, None)
    if context.policy.is_held(ours.lease_until, context.clock.wall()):
        raise EventWaits(Waiting.WORKER_HAS_PAYMENT, ours.id)
    adopted = _adopt(context, ours, sending, found) if _may_be(ours, found) else None
    if adopted is not None:
        return lambda _conn: adopted
    late = _declined_since(context, ours, found)
    if late is not None:
        return lambda conn: _undo(conn, context, found, ours.id, late)
    return lambda conn: _compare(conn, context, found, ours.id)


def _is_booked(context: Context, provider_payment_id: str) -> bool:
    with context.engine.connect() as conn:
        payment_id = disputes.payment_of(
            conn,
            context.account,
            provider_payment_id=provider_payment_id,
            provider_charge_id=None,
        )
        ours = None if payment_id is None else payments.get(conn, payment_id)
    return ours is not None and ours.state in _BOOKED


def _our_payment(conn: Connection, provider: str, found: ProviderPayment) -> Payment | None:
    """Return our payment: by the provider's id, or by ours where that was never answered."""
    payment_id = disputes.payment_of(
        conn, provider, provider_payment_id=found.id, provider_charge_id=None
    )
    try:
        payment_id = payment_id or UUID(found.metadata.get("payment", ""))
    except ValueError:
        return None
    ours = payments.get(conn, payment_id)
    return ours if ours is not None and ours.provider == provider else None


def _may_be(ours: Payment, found: ProviderPayment) -> bool:
    """Tell whether what the provider shows is the payment that ours waits for."""
    return ours.provider_payment_id in (None, found.id)


# --- an attempt that waits for its answer -------------------------------------------------------


def _waiting(conn: Connection, ours: Payment) -> ChargeSend | None:
    call = provider_calls.open_call(conn, ours.id, CallKind.CHARGE)
    return None if call is None else to_send(call, attempts.kind_of(conn, ours.id, call.n))


def _adopt(
    context: Context, ours: Payment, sending: ChargeSend | None, found: ProviderPayment
) -> Handled | None:
    """Write the answer that our side waits for; None when it waits for none."""
    if sending is not None:
        return _adopt_answer(context, sending)
    if ours.state == State.AUTHORIZED:
        return _adopt_step(context, ours, found)
    return None


def _adopt_answer(context: Context, sending: ChargeSend) -> Handled:
    """Look up the answer to an open attempt. Raises: EventWaits, when there is none yet."""
    n = sending.call.n
    outcome = context.gateway.look_up(sending.request, since=sending.call.first_sent_at)
    if isinstance(outcome, Absent):
        # The event was about an earlier attempt. The worker finds out whether this one was
        # executed.
        return Handled(EventOutcome.ATTEMPT_NOT_THERE, {"attempt": n})
    if isinstance(outcome, Unknown | Deferred):
        raise EventWaits(
            Waiting.ATTEMPT_UNANSWERED, f"{n}: {outcome.error_class}: {outcome.message}"
        )
    collecting.finish(context, sending, outcome)
    return Handled(
        EventOutcome.ANSWER_ADOPTED,
        {"attempt": n, "answer": _word(outcome)},
        Adopted(sending, outcome),
    )


def _word(outcome: Outcome) -> str:
    match outcome:
        case Succeeded(captured=captured):
            return "captured" if captured else "authorised"
        case Rejected(error_class=reason):
            return reason
        case _:
            return type(outcome).__name__.lower()


def _adopt_step(context: Context, ours: Payment, found: ProviderPayment) -> Handled | None:
    """Write that an authorised payment was captured or canceled at the provider."""
    asked = Money(ours.capture_amount or found.amount_received.amount, ours.currency)
    outcome: Outcome | Absent
    if found.status is PaymentStatus.CAPTURED and found.amount_received == asked:
        outcome = Succeeded(found.id, found.amount_received, True, found.latest_charge_id)
    elif found.status is PaymentStatus.CAPTURED:
        outcome = Unknown("wrong_amount", f"{found.amount_received} was captured, not {asked}")
    elif found.status is PaymentStatus.CANCELED and ours.has_next(
        AttemptKind.VOID, context.clock.now()
    ):
        outcome = Absent()
    elif found.status is PaymentStatus.CANCELED:
        outcome = canceled(f"{found.id} was canceled at the provider")
    else:
        return None
    kind: Any = VOID if isinstance(outcome, Absent) else CAPTURE
    step = AuthorizationStep(ours.id, ours.provider, kind, found.id, asked)
    state = authorization_outcomes.finish(context, step, outcome)
    return Handled(EventOutcome.AUTHORIZATION_ENDED, {"state": str(state)})


# --- a capture whose settlement was declined ----------------------------------------------------


def _declined_since(context: Context, ours: Payment, found: ProviderPayment) -> Declined | None:
    """Return the decline of a payment that we have as captured, if the provider declined it."""
    captured = ours.state == State.CAPTURED and ours.provider_payment_id == found.id
    if not captured or found.status is PaymentStatus.CAPTURED:
        return None
    return declined_settlements.ask(context, ours)


def _undo(
    conn: Connection,
    context: Context,
    found: ProviderPayment,
    payment_id: UUID,
    late: Declined,
) -> Handled:
    ours = payments.lock_known_payment(conn, payment_id)
    is_same = ours.provider_payment_id == found.id
    now, policy = context.clock.now(), context.policy
    if is_same and declined_settlements.undo(conn, ours, late, now=now, policy=policy):
        return Handled(EventOutcome.CAPTURE_UNDONE, {"code": late.decline_code})
    return _compare(conn, context, found, payment_id)


# --- a payment that waits for nothing -----------------------------------------------------------


def _compare(
    conn: Connection, context: Context, found: ProviderPayment, payment_id: UUID | None
) -> Handled:
    """Compare both sides; a difference becomes a break with the key that reconciliation uses."""
    ours = None if payment_id is None else payments.lock_known_payment(conn, payment_id)
    if ours is not None and _may_be(ours, found) and ours.open_attempt_n is not None:
        raise EventWaits(Waiting.ATTEMPT_IS_NEW, ours.id)
    if found.status is not PaymentStatus.CAPTURED:
        return _compare_unpaid(conn, context, found, ours)
    if ours is None and is_of_another(found.metadata, engine_id(conn)):
        return Handled(EventOutcome.NOT_OURS)
    charge = found.latest_charge_id or found.id
    kind = _difference(found, charge, ours)
    if kind is None:
        return Handled(EventOutcome.UNCHANGED)
    _record(conn, context, kind, charge, found, ours)
    return Handled(EventOutcome.BREAK_RECORDED, {"kind": str(kind)})


def _difference(
    found: ProviderPayment, charge: str, ours: LockedPayment | None
) -> BreakKind | None:
    """Return how a payment that succeeded at the provider differs from ours, if it does."""
    if ours is None:
        return BreakKind.UNKNOWN_AT_PROVIDER
    if ours.captured_at is not None and ours.provider_payment_id != found.id:
        return BreakKind.DUPLICATE_CHARGE
    side = OurSide(
        state=ours.state,
        money=Money(ours.amount_captured or ours.amount, ours.currency),
        charge_id=ours.provider_charge_id,
    )
    match compare(side, ProviderSide(charge, found.amount_received)):
        case Confirmed():
            return None
        case Difference(kind=kind):
            return kind
        case _:  # undecided here, without an open attempt
            return BreakKind.CAPTURED_AT_PROVIDER_ONLY


def _compare_unpaid(
    conn: Connection, context: Context, found: ProviderPayment, ours: LockedPayment | None
) -> Handled:
    if ours is None:
        return Handled(EventOutcome.NOT_OURS)
    if ours.captured_at is not None and ours.provider_payment_id == found.id:
        kind = BreakKind.MISSING_AT_PROVIDER
        _record(conn, context, kind, ours.id, found, ours)
        return Handled(EventOutcome.BREAK_RECORDED, {"kind": str(kind)})
    return Handled(EventOutcome.UNCHANGED)


def _record(
    conn: Connection,
    context: Context,
    kind: BreakKind,
    subject: object,
    found: ProviderPayment,
    ours: LockedPayment | None,
) -> None:
    difference = BreakFound(
        kind=kind,
        subject=subject,
        ours={} if ours is None else _our_side(ours),
        theirs={
            "charge": found.latest_charge_id,
            "payment": found.id,
            "status": found.status,
            "amount": found.amount_received.amount,
            "currency": found.amount_received.currency,
            "created": found.created.isoformat(),
        },
        cause=_cause(kind, found, ours),
        cycle_id=None if ours is None else ours.cycle_id,
        payment_id=None if ours is None else ours.id,
        currency=found.amount_received.currency,
        provider=context.account,
    )
    breaks.record(conn, difference, now=context.clock.now())


def _our_side(ours: LockedPayment) -> Mapping[str, Any]:
    return {
        "payment": str(ours.id),
        "state": ours.state,
        "amount": ours.amount_captured,
        "currency": ours.currency,
        "charge": ours.provider_charge_id,
    }


def _cause(
    kind: BreakKind, found: ProviderPayment, ours: LockedPayment | None
) -> BreakCause | None:
    if kind is BreakKind.MISSING_AT_PROVIDER and found.status is PaymentStatus.WAITING:
        return BreakCause.SETTLEMENT_DECLINED
    undecided = ours is not None and ours.state in (State.CREATED, State.AUTHORIZED)
    if kind is BreakKind.CAPTURED_AT_PROVIDER_ONLY and undecided:
        return BreakCause.PAID_BETWEEN_ATTEMPTS
    return None
