"""Giving money back: ask for it, send it, write down what became of it.

    request        the caller's transaction: room is made under the payment's lock, entry posted
    dispatch_due   rows first, messages after, as for charges
    begin          transaction 1: the send is counted and leased
    (gateway)      the call, outside any transaction; see `attempt`
    finish         transaction 2: state, entries, and the payment when all of it went back
    apply          what the provider says of a refund now, whoever asked for it

A refund whose outcome is unknown is sent again under the same key, or looked up once the
provider may have forgotten the key; only a proven absence gives it another key. It counts
against the payment from its request on, until it is known to have failed.
Locks are taken in one order: payment, its invoice, refund.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Engine, Row

from billing.errors import BadInput, BillingError, Conflict, NotFound
from billing.flows.policy import Policy, lists_come_next
from billing.gateway import (
    Absent,
    Deferred,
    Gateway,
    ProviderRefund,
    RefundAccepted,
    RefundRequest,
    Rejected,
    Unknown,
)
from billing.ids import new_id
from billing.ledger import recipes
from billing.ledger.journal import Entry
from billing.pan import refuse_card_number
from billing.rules.money import Money
from billing.rules.payments import Cause, State
from billing.rules.reconciliation import SUGGESTED_CAUSES, BreakKind
from billing.rules.refunds import Parts, RefundState, next_state, refund_key, refundable, split
from billing.store import dispatch
from billing.store.dispatch import NOT_HELD
from billing.store.journal import posting
from billing.store.payments import disputes, payments, recognition, refunds
from billing.store.settlement import breaks
from plans.currencies import charge_step

ACTOR: Final = "worker"
AT_PROVIDER: Final = "provider"
"""Who asked for a refund that was made in the provider's dashboard."""
# A pending refund normally ends with a webhook; this is for the one that was lost.
PENDING_ASKED_EVERY: Final = timedelta(days=1)

RefundAnswer = RefundAccepted | Rejected | Deferred | Unknown | Absent


class NotRefundable(Conflict):
    """The payment can't be refunded, or not by that much; nothing was changed."""


# --- asking for it ------------------------------------------------------------------------------


def request(
    conn: Connection,
    payment_id: UUID,
    *,
    amount: Money | None = None,
    reason: str,
    actor: str,
    now: datetime,
    policy: Policy,
    refund_id: UUID | None = None,
) -> Row[Any]:
    """Ask for a refund of a payment, of all that is left where no amount is named; return it.

    In the caller's transaction; a worker sends it once that is committed. With a `refund_id` of
    the caller's, asking again returns the refund that is there.
    Raises `NotFound`, `NotRefundable`, `BadInput`, `Conflict`.
    """
    refuse_card_number(reason, "reason")
    payment = _lock_payment(conn, payment_id)
    refund_id = refund_id or new_id()
    known = refunds.get(conn, refund_id)
    if known is not None:
        return _same_request(known, payment_id, amount)
    given = room_for(conn, payment, amount)
    return add(conn, payment, given, refund_id, reason, actor, now, policy)


def _lock_payment(conn: Connection, payment_id: UUID) -> Row[Any]:
    if payments.get(conn, payment_id) is None:
        raise NotFound(f"no payment {payment_id}", remedy="`billing charges list` shows them")
    return payments.lock_for_outcome(conn, payment_id)


def _same_request(known: Row[Any], payment_id: UUID, amount: Money | None) -> Row[Any]:
    if known.payment_id != payment_id or amount not in (None, Money(known.amount, known.currency)):
        raise Conflict(
            f"refund {known.id} exists and gives back something else",
            remedy="use another id for another refund",
        )
    return known


def room_for(conn: Connection, payment: Row[Any], amount: Money | None) -> Money:
    """Return the amount that would be refunded of a payment. Raises `NotRefundable`, `BadInput`."""
    if payment.state not in (State.CAPTURED, State.SETTLED, State.REFUNDED):
        raise NotRefundable(
            f"payment {payment.id} is {payment.state}: nothing was captured",
            remedy="an authorisation is given up with `billing charges void`",
        )
    if payment.provider_payment_id is None:
        raise NotRefundable(f"payment {payment.id} has no counterpart at the provider")
    captured = Money(payment.amount_captured, payment.currency)
    held = Money(disputes.in_dispute(conn, payment.id), payment.currency)
    left = refundable(captured, Money(payment.amount_refunded, payment.currency), held)
    if amount is None:
        amount = left
    elif amount.currency != captured.currency:
        raise BadInput(f"payment {payment.id} was made in {captured.currency}, not in {amount}")
    elif amount.amount <= 0:
        raise BadInput(f"a refund gives back more than nothing, not {amount}")
    elif amount.amount % charge_step(amount.currency):
        raise BadInput(f"{amount} can't be paid in {amount.currency}: its last digit has to be 0")
    if left.amount == 0 or amount > left:
        withheld = f", {held} are in dispute" if held.amount else ""
        raise NotRefundable(
            f"of payment {payment.id} {left} can be refunded, not {amount}"
            if left.amount
            else f"nothing is left to refund of payment {payment.id}",
            where=f"captured {captured}, refunded or asked for"
            f" {Money(payment.amount_refunded, payment.currency)}{withheld}",
            remedy="ask for no more than what is left" if left.amount else "look at its refunds",
        )
    return amount


def add(
    conn: Connection,
    payment: Row[Any],
    amount: Money,
    refund_id: UUID,
    reason: str,
    actor: str,
    now: datetime,
    policy: Policy,
) -> Row[Any]:
    """Write a refund of a locked payment down, in its first state, with its entry."""
    parts = split(amount, recognition.parts_left(conn, payment))
    payments.change(conn, payment.id, now, amount_refunded=payment.amount_refunded + amount.amount)
    refunds.add(
        conn,
        {
            "id": refund_id,
            "payment_id": payment.id,
            "amount": amount.amount,
            "currency": amount.currency,
            "state": str(RefundState.REQUESTED),
            "recognised": parts.recognised,
            "deferred": parts.deferred,
            "tax": parts.tax,
            "reason": reason,
            "requested_by": actor,
            "idempotency_key": refund_key(policy.mode, refund_id),
            "next_attempt_at": now,
            "dispatch_after": NOT_HELD,
            "created_at": now,
        },
    )
    posting.post(conn, [_requested(conn, payment, refund_id, parts, now)])
    added = refunds.get(conn, refund_id)
    assert added is not None
    return added


def _requested(
    conn: Connection, payment: Row[Any], refund_id: UUID, parts: Parts, now: datetime
) -> Entry:
    return recipes.refund_requested(
        refund_id=refund_id,
        cycle_id=refunds.open_cycle(conn, payment.cycle_id),
        recognised=Money(parts.recognised, payment.currency),
        deferred=Money(parts.deferred, payment.currency),
        tax=Money(parts.tax, payment.currency),
        effective_at=now,
    )


# --- dispatch, transaction 1 --------------------------------------------------------------------


def dispatch_due(
    engine: Engine, *, now: datetime, wall: datetime, limit: int, policy: Policy
) -> list[UUID]:
    """Return refunds that want a worker, each at most once in a dispatch window."""
    with engine.begin() as conn:
        return dispatch.take(
            conn,
            refunds.DISPATCH_DUE,
            now=now,
            wall=wall,
            again_at=wall + policy.dispatch_window,
            limit=limit,
        )


@dataclass(frozen=True, slots=True)
class Sending:
    """A refund that may be sent now; with a `provider_refund_id` it is only asked about.

    `first_send` also holds when every earlier send was certainly not executed.
    """

    refund_id: UUID
    payment_id: UUID
    request: RefundRequest
    provider_refund_id: str | None
    first_send: bool
    first_sent_at: datetime
    sends: int


def begin(
    engine: Engine, refund_id: UUID, *, now: datetime, wall: datetime, policy: Policy
) -> Sending | None:
    """Commit that a refund is being sent; None when there is no call to make.

    Safe to run any number of times, anywhere: one caller at a time gets it, for the lease.
    """
    with engine.begin() as conn:
        row = refunds.lock_for_send(conn, refund_id, now=now, wall=wall)
        if row is None:
            return None
        lease = wall + policy.lease
        refunds.change(
            conn,
            refund_id,
            first_sent_at=row.first_sent_at or now,
            sends=row.sends + 1,
            last_error=None,
            lease_until=lease,
            dispatch_after=lease,
        )
        return Sending(
            refund_id=row.id,
            payment_id=row.payment_id,
            request=_as_sent(row, policy),
            provider_refund_id=row.provider_refund_id,
            first_send=bool(row.never_executed),
            first_sent_at=row.first_sent_at or now,
            sends=row.sends + 1,
        )


def _as_sent(row: Row[Any], policy: Policy) -> RefundRequest:
    """Return the same request for the same row: a resend must have the same fingerprint."""
    return RefundRequest(
        idempotency_key=refund_key(policy.mode, row.id, row.key_n),
        provider_payment_id=row.provider_payment_id,
        amount=Money(row.amount, row.currency),
        metadata={"refund": str(row.id), "payment": str(row.payment_id)},
    )


# --- the call -----------------------------------------------------------------------------------


def attempt(gateway: Gateway, sending: Sending, *, now: datetime, policy: Policy) -> RefundAnswer:
    """Send a refund, look it up, or ask about it. Holds no transaction.

    As for charges: past the life of its key only the lists can tell; before that they are asked
    in turn with the key, and their silence proves nothing yet.
    """
    if sending.provider_refund_id is not None:
        return _ask_about(gateway, sending.provider_refund_id)
    if now - sending.first_sent_at >= policy.key_max_age:
        return gateway.look_up_refund(sending.request, since=sending.first_sent_at)
    if lists_come_next(sending.sends):
        found = gateway.look_up_refund(sending.request, since=sending.first_sent_at)
        if isinstance(found, Absent):
            return Unknown("not_found_yet", "not in the provider's lists, its key is still alive")
        return found
    return gateway.refund(sending.request, first_send=sending.first_send)


def _ask_about(gateway: Gateway, provider_refund_id: str) -> RefundAccepted | Unknown:
    try:
        found = gateway.refund_by_id(provider_refund_id)
    except BillingError as error:
        return Unknown("not_answered", error.what)
    if found is None:
        return Unknown("missing", f"the provider has no refund {provider_refund_id} any more")
    return as_accepted(found)


def as_accepted(found: ProviderRefund) -> RefundAccepted:
    """Return the provider's refund as the answer to a request would say it."""
    known: Any = found.status  # a word of tomorrow passes: `next_state` waits it out
    return RefundAccepted(found.id, known, found.amount, found.failure_reason)


# --- transaction 2 ------------------------------------------------------------------------------


def finish(
    engine: Engine,
    sending: Sending,
    answer: RefundAnswer,
    *,
    now: datetime,
    wall: datetime,
    policy: Policy,
) -> RefundState:
    """Write down what a send brought and return where the refund stands.

    Running it twice for one send changes nothing.
    """
    with engine.begin() as conn:
        payment = payments.lock_for_outcome(conn, sending.payment_id)
        row = refunds.lock(conn, sending.refund_id)
        assert row is not None, "refunds are never deleted"
        state = RefundState(row.state)
        if state not in (RefundState.REQUESTED, RefundState.PENDING):
            return state
        match answer:
            case RefundAccepted():
                return advance(conn, payment, row, answer, now=now, actor=ACTOR)
            case Rejected():
                _take_back(conn, payment, row, RefundState.FAILED, _words(answer), now)
                return RefundState.FAILED
            case Unknown() | Deferred():
                told = answer.retry_after if isinstance(answer, Deferred) else None
                _ask_again(conn, row, answer, now, wall + policy.pause(sending.sends, told))
            case Absent():
                _send_anew(conn, row, now)
        return state


def _words(answer: Rejected | Unknown | Deferred) -> str:
    return f"{answer.error_class}: {answer.message}"[:500]


def _ask_again(
    conn: Connection, row: Row[Any], answer: Unknown | Deferred, now: datetime, again_at: datetime
) -> None:
    unknown_since = row.unknown_since or (now if isinstance(answer, Unknown) else None)
    refunds.change(
        conn,
        row.id,
        last_error=_words(answer),
        unknown_since=unknown_since,
        lease_until=None,
        dispatch_after=again_at,
    )


def _send_anew(conn: Connection, row: Row[Any], now: datetime) -> None:
    """Nothing was executed under that key: the next send has another one."""
    refunds.change(
        conn,
        row.id,
        key_n=row.key_n + 1,
        first_sent_at=None,
        sends=0,
        unknown_since=None,
        last_error="the provider's lists prove that nothing was refunded: it is sent anew",
        next_attempt_at=now,
        lease_until=None,
        dispatch_after=NOT_HELD,
    )


# --- what the provider says of it ---------------------------------------------------------------


def advance(
    conn: Connection,
    payment: Row[Any],
    row: Row[Any],
    answer: RefundAccepted,
    *,
    now: datetime,
    actor: str,
) -> RefundState:
    """Bring a refund to what the provider says, forward only; payment and refund are locked."""
    if answer.amount != Money(row.amount, row.currency):
        _record_mismatch(conn, payment, row, answer, now)
        return RefundState(row.state)
    before = RefundState(row.state)
    reached = next_state(before, answer.status)
    if reached is None:
        if before is RefundState.PENDING:
            _wait_for_end(conn, row, answer, now)
        return before
    match reached:
        case RefundState.SUCCEEDED:
            _succeed(conn, payment, row, answer, now, actor)
        case RefundState.FAILED | RefundState.CANCELED:
            refunds.change(conn, row.id, provider_refund_id=answer.provider_refund_id)
            _take_back(conn, payment, row, reached, answer.failure_reason or answer.status, now)
        case RefundState.REQUESTED | RefundState.PENDING:
            _wait_for_end(conn, row, answer, now)
    return reached


def _record_mismatch(
    conn: Connection, payment: Row[Any], row: Row[Any], answer: RefundAccepted, now: datetime
) -> None:
    """The provider refunded another amount than we asked for: a person must look."""
    breaks.record(
        conn,
        kind=str(BreakKind.REFUND_MISMATCH),
        dedupe_key=f"{BreakKind.REFUND_MISMATCH}:{row.id}",
        ours={"refund": str(row.id), "amount": row.amount, "currency": row.currency},
        provider={
            "refund": answer.provider_refund_id,
            "amount": answer.amount.amount,
            "currency": answer.amount.currency,
        },
        suggested_cause=SUGGESTED_CAUSES[BreakKind.REFUND_MISMATCH],
        now=now,
        cycle_id=payment.cycle_id,
        payment_id=payment.id,
    )
    refunds.change(
        conn,
        row.id,
        last_error=f"the provider says {answer.amount}",
        lease_until=None,
        next_attempt_at=None if row.next_attempt_at is None else now + PENDING_ASKED_EVERY,
    )


def _wait_for_end(conn: Connection, row: Row[Any], answer: RefundAccepted, now: datetime) -> None:
    refunds.change(
        conn,
        row.id,
        state=str(RefundState.PENDING),
        provider_refund_id=answer.provider_refund_id,
        unknown_since=None,
        last_error=None,
        next_attempt_at=now + PENDING_ASKED_EVERY,
        lease_until=None,
        dispatch_after=NOT_HELD,
    )


def _succeed(
    conn: Connection,
    payment: Row[Any],
    row: Row[Any],
    answer: RefundAccepted,
    now: datetime,
    actor: str,
) -> None:
    """The money went back: entry posted, and the payment REFUNDED when it was all of it."""
    refunds.change(
        conn,
        row.id,
        state=str(RefundState.SUCCEEDED),
        provider_refund_id=answer.provider_refund_id,
        unknown_since=None,
        last_error=None,
        next_attempt_at=None,
        lease_until=None,
        finished_at=now,
    )
    posting.post(
        conn,
        [
            recipes.refund_succeeded(
                refund_id=row.id,
                cycle_id=refunds.open_cycle(conn, payment.cycle_id),
                amount=Money(row.amount, row.currency),
                effective_at=now,
            )
        ],
    )
    if refunds.succeeded_amount(conn, payment.id) == payment.amount_captured:
        payments.move(
            conn,
            payment.id,
            [State(payment.state), State.REFUNDED],
            cause=Cause.REFUND,
            now=now,
            actor=actor,
            evidence={"refund": str(row.id), "provider_refund": answer.provider_refund_id},
        )


def _take_back(
    conn: Connection,
    payment: Row[Any],
    row: Row[Any],
    end: RefundState,
    why: str,
    now: datetime,
) -> None:
    """The money did not go back, or came back: entries reversed, the amount refundable again."""
    entries = []
    if row.state == RefundState.SUCCEEDED:
        paid = posting.entry_by_source_key(conn, f"refund_succeeded:{row.id}")
        assert paid is not None, "a refund that succeeded was posted"
        closed = _is_closed(conn, paid.entry)
        entries.append(recipes.refund_returned(paid.entry, effective_at=now, after_close=closed))
    asked = posting.entry_by_source_key(conn, f"refund_requested:{row.id}")
    assert asked is not None, "every refund was posted when it was requested"
    closed = _is_closed(conn, asked.entry)
    entries.append(recipes.refund_failed(asked.entry, effective_at=now, after_close=closed))
    refunds.change(
        conn,
        row.id,
        state=str(end),
        failure_reason=why,
        unknown_since=None,
        next_attempt_at=None,
        lease_until=None,
        finished_at=now,
    )
    payments.change(conn, payment.id, now, amount_refunded=payment.amount_refunded - row.amount)
    posting.post(conn, entries)
    if row.deferred:
        # What was given back unearned is to be earned after all, maybe at once.
        recognition.look_again(conn, {payment.invoice_id: now})
    if payment.state == State.REFUNDED:
        back_to = State.CAPTURED if payment.settled_at is None else State.SETTLED
        payments.move(
            conn,
            payment.id,
            [State.REFUNDED, back_to],
            cause=Cause.REFUND_FAILED,
            now=now,
            actor=AT_PROVIDER,
            evidence={"refund": str(row.id), "why": why},
        )


def _is_closed(conn: Connection, entry: Entry) -> bool:
    """Tell whether a reversal of the entry has to stand outside its cycle."""
    return entry.cycle_id is not None and refunds.open_cycle(conn, entry.cycle_id) is None
