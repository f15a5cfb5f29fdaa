"""Events about payments: an open attempt adopts the answer, everything else is only compared.

An event never captures anything. Where our side waits for an answer, the answer is looked up as
the worker would have done it, and written down by the same code; where it waits for nothing,
both sides are compared, and what differs becomes a break.

    open attempt, in a worker's hands   the worker first; the event is tried again
    open attempt                        `gateway.look_up`, then `collecting.finish`
    authorised                          captured or canceled there: `authorizations.finish`
    anything else                       agreed, or a break
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection

from billing.flows.payments import authorizations, collecting
from billing.flows.payments.collecting import ChargeSend, request_from_json
from billing.flows.webhooks.handler import Adopted, Apply, Desk, Notice, NotYet, nothing
from billing.gateway import (
    Absent,
    Deferred,
    Outcome,
    ProviderPayment,
    Rejected,
    Succeeded,
    Unknown,
    canceled,
)
from billing.rules.money import Money
from billing.rules.payments import AttemptKind, State
from billing.rules.reconciliation import (
    BreakCause,
    BreakFound,
    BreakKind,
    Confirmed,
    Difference,
    OurSide,
    ProviderSide,
    compare,
)
from billing.store.payments import attempts, disputes, payments
from billing.store.payments.attempts import Attempt
from billing.store.payments.payments import LockedPayment, Payment
from billing.store.settlement import breaks

SUCCEEDED: Final = "payment_intent.succeeded"
# States in which the money is booked: that it succeeded is no news.
_BOOKED: Final = frozenset({State.CAPTURED, State.SETTLED, State.REFUNDED})


def payment(desk: Desk, notice: Notice) -> Apply:
    """A payment succeeded, failed, was canceled, or may be captured."""
    if notice.types == {SUCCEEDED} and _is_booked(desk, notice.object_id):
        return nothing("booked already")  # nearly all are: the provider isn't asked about them
    found = desk.gateway.payment(notice.object_id)
    if found is None:
        return nothing("the provider has no such payment any more")
    with desk.engine.connect() as conn:
        ours = _our_payment(conn, found)
        attempt = None if ours is None else attempts.open_attempt(conn, ours.id)
    if ours is None:
        return lambda conn: _compare(conn, found, None, desk.now)
    if ours.lease_until is not None and ours.lease_until > desk.wall:
        raise NotYet(f"a worker has payment {ours.id} in hand")
    said = _adopt(desk, ours, attempt, found) if _may_be(ours, found) else None
    if said is not None:
        return nothing(said)
    return lambda conn: _compare(conn, found, ours.id, desk.now)


def _is_booked(desk: Desk, provider_payment_id: str) -> bool:
    with desk.engine.connect() as conn:
        payment_id = disputes.payment_of(
            conn, provider_payment_id=provider_payment_id, provider_charge_id=None
        )
        ours = None if payment_id is None else payments.get(conn, payment_id)
    return ours is not None and ours.state in _BOOKED


def _our_payment(conn: Connection, found: ProviderPayment) -> Payment | None:
    """Return our payment: by the provider's id, or by ours where that was never answered."""
    payment_id = disputes.payment_of(conn, provider_payment_id=found.id, provider_charge_id=None)
    try:
        payment_id = payment_id or UUID(found.metadata.get("payment", ""))
    except ValueError:
        return None
    return payments.get(conn, payment_id)


def _may_be(ours: Payment, found: ProviderPayment) -> bool:
    """Tell whether what the provider shows is the payment that ours waits for."""
    return ours.provider_payment_id in (None, found.id)


# --- an attempt that waits for its answer -------------------------------------------------------


def _adopt(
    desk: Desk, ours: Payment, attempt: Attempt | None, found: ProviderPayment
) -> str | None:
    """Write down what our side waits to hear, and say what that was; None when it doesn't wait."""
    if attempt is not None:
        return _adopt_answer(desk, ours, attempt)
    if ours.state == State.AUTHORIZED:
        return _adopt_step(desk, ours, found)
    return None


def _adopt_answer(desk: Desk, ours: Payment, attempt: Attempt) -> str:
    """Look the answer to an open attempt up. Raises: NotYet, when there is none yet."""
    sending = ChargeSend(
        payment_id=ours.id,
        attempt_n=attempt.n,
        kind=attempt.kind,
        request=request_from_json(attempt.request),
        first_send=False,
        first_sent_at=attempt.first_sent_at,
        sends=attempt.sends,
    )
    outcome = desk.gateway.look_up(sending.request, since=sending.first_sent_at)
    if isinstance(outcome, Absent):
        # The event was about an earlier attempt. Whether this one was executed, its own way
        # of asking finds out.
        return f"attempt {attempt.n} is not among the provider's charges"
    if isinstance(outcome, Unknown | Deferred):
        raise NotYet(f"attempt {attempt.n}: {outcome.error_class}: {outcome.message}")
    collecting.finish(
        desk.engine, sending, outcome, now=desk.now, wall=desk.wall, policy=desk.policy
    )
    desk.adopted.append(Adopted(sending, outcome))
    return f"attempt {attempt.n} adopted the answer: {_word(outcome)}"


def _word(outcome: Outcome) -> str:
    match outcome:
        case Succeeded(captured=captured):
            return "captured" if captured else "authorised"
        case Rejected(error_class=reason):
            return reason
        case _:
            return type(outcome).__name__.lower()


def _adopt_step(desk: Desk, ours: Payment, found: ProviderPayment) -> str | None:
    """Write down that an authorised payment was captured or canceled at the provider."""
    asked = Money(ours.capture_amount or found.amount_received.amount, ours.currency)
    outcome: Outcome | Absent
    if found.status == "succeeded" and found.amount_received == asked:
        outcome = Succeeded(found.id, found.amount_received, True, found.latest_charge_id)
    elif found.status == "succeeded":
        outcome = Unknown("wrong_amount", f"{found.amount_received} was captured, not {asked}")
    elif found.status == "canceled" and ours.has_next(AttemptKind.VOID, desk.now):
        outcome = Absent()
    elif found.status == "canceled":
        outcome = canceled(f"{found.id} was canceled at the provider")
    else:
        return None
    kind: Any = authorizations.VOID if isinstance(outcome, Absent) else authorizations.CAPTURE
    step = authorizations.AuthorizationStep(ours.id, kind, found.id, asked, idempotency_key="")
    state = authorizations.finish(
        desk.engine, step, outcome, now=desk.now, wall=desk.wall, policy=desk.policy
    )
    return f"the authorised payment is {state}, as the provider says"


# --- a payment that waits for nothing -----------------------------------------------------------


def _compare(
    conn: Connection, found: ProviderPayment, payment_id: UUID | None, now: datetime
) -> str:
    """Compare both sides; a difference becomes a break, under the key that reconciling uses."""
    ours = None if payment_id is None else payments.lock_known_payment(conn, payment_id)
    if ours is not None and _may_be(ours, found) and attempts.open_attempt(conn, ours.id):
        raise NotYet(f"payment {ours.id} got a new attempt meanwhile")
    if found.status != "succeeded":
        return _compare_unpaid(conn, found, ours, now)
    charge = found.latest_charge_id or found.id
    kind = _difference(found, charge, ours)
    if kind is None:
        return "both sides agree"
    _record(conn, kind, charge, found, ours, now)
    return f"break: {kind}"


def _difference(
    found: ProviderPayment, charge: str, ours: LockedPayment | None
) -> BreakKind | None:
    """Say how a payment that succeeded at the provider differs from ours, if it does."""
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
        case _:  # undecided here, and nobody asks the provider about it now
            return BreakKind.CAPTURED_AT_PROVIDER_ONLY


def _compare_unpaid(
    conn: Connection, found: ProviderPayment, ours: LockedPayment | None, now: datetime
) -> str:
    if ours is None:
        return "none of ours, and nothing was captured"
    if ours.captured_at is not None and ours.provider_payment_id == found.id:
        kind = BreakKind.MISSING_AT_PROVIDER
        _record(conn, kind, ours.id, found, ours, now)
        return f"break: {kind}"
    return "nothing was captured, as we know"


def _record(
    conn: Connection,
    kind: BreakKind,
    subject: object,
    found: ProviderPayment,
    ours: LockedPayment | None,
    now: datetime,
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
        cause=_cause(kind, ours),
        cycle_id=None if ours is None else ours.cycle_id,
        payment_id=None if ours is None else ours.id,
        currency=found.amount_received.currency,
    )
    breaks.record(conn, difference, now=now)


def _our_side(ours: LockedPayment) -> Mapping[str, Any]:
    return {
        "payment": str(ours.id),
        "state": ours.state,
        "amount": ours.amount_captured,
        "currency": ours.currency,
        "charge": ours.provider_charge_id,
    }


def _cause(kind: BreakKind, ours: LockedPayment | None) -> BreakCause | None:
    undecided = ours is not None and ours.state in (State.CREATED, State.AUTHORIZED)
    if kind is BreakKind.CAPTURED_AT_PROVIDER_ONLY and undecided:
        return BreakCause.PAID_BETWEEN_ATTEMPTS
    return None
