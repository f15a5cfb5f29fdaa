"""Sending refunds to the provider: one at a time by any worker, any number of times.

    dispatch_due   rows first, messages after, as for charges
    begin          transaction 1: the send is counted and leased
    attempt        the call, outside any transaction
    finish         transaction 2: what the answer means, through `outcomes`

A refund whose outcome is unknown is sent again as the same call, or looked up once the provider may
have forgotten the key; only a proven absence makes another call, under another key. One that the
provider has already is asked about by the provider's id.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.crash_points import CrashPoint, marked
from billing.errors import BillingError
from billing.flows import fence
from billing.flows.context import Context
from billing.flows.dispatching import take_due
from billing.flows.provider_calls import ask, note_unanswered, pause
from billing.flows.refunds.outcomes import advance, as_accepted, take_back
from billing.gateway import (
    Absent,
    Deferred,
    Gateway,
    RefundAccepted,
    RefundRequest,
    Rejected,
    Unknown,
)
from billing.rules.actor import WORKER
from billing.rules.money import Money
from billing.rules.payments import AttemptOutcome, CallKind
from billing.rules.refunds import RefundState
from billing.rules.request_marks import NOTE
from billing.store.access import idempotency
from billing.store.dispatch import NOT_HELD
from billing.store.payments import credit_notes, payments, provider_calls, refunds
from billing.store.payments.provider_calls import ProviderCall
from billing.store.payments.refunds import RefundToSend

RefundAnswer = RefundAccepted | Rejected | Deferred | Unknown | Absent


def dispatch_due(context: Context, *, limit: int) -> list[UUID]:
    """Return refunds that are due, each at most once in a dispatch window (see `take_due`)."""
    return take_due(context, refunds.DISPATCH_DUE, limit=limit)


@dataclass(frozen=True, slots=True)
class RefundSend:
    """A refund that may be sent now, as its open call has it."""

    refund_id: UUID
    payment_id: UUID
    provider: str
    call: ProviderCall

    @property
    def request(self) -> RefundRequest:
        """The request as it was committed, so that a resend has the same fingerprint."""
        sent = self.call.request
        return RefundRequest(
            idempotency_key=self.call.idempotency_key,
            provider_payment_id=sent["provider_payment_id"],
            amount=Money(sent["amount"], sent["currency"]),
            metadata=sent["metadata"],
        )


@dataclass(frozen=True, slots=True)
class RefundQuestion:
    """A refund that the provider has; its state there may be asked for now."""

    refund_id: UUID
    payment_id: UUID
    provider: str
    provider_refund_id: str


def begin(context: Context, refund_id: UUID) -> RefundSend | RefundQuestion | None:
    """Commit that a refund is being sent or asked about; None when there is no call to make.

    Safe to run any number of times, anywhere: one caller at a time gets the refund, for the lease.
    """

    return fence.begun(context, lambda: _begin(context, refund_id))


def _begin(context: Context, refund_id: UUID) -> RefundSend | RefundQuestion | None:
    now, wall, policy = context.clock.now(), context.clock.wall(), context.policy
    with marked(CrashPoint.REFUND_BEGUN), context.engine.begin() as conn:
        row = refunds.lease(
            conn,
            refund_id,
            now=now,
            wall=wall,
            until=wall + policy.lease,
            held_until=wall + policy.longest_hold,
        )
        if row is None:
            return None
        if row.provider_refund_id is not None:
            return RefundQuestion(row.id, row.payment_id, row.provider, row.provider_refund_id)
        call = provider_calls.begin(
            conn,
            kind=CallKind.REFUND,
            subject_id=row.id,
            customer_id=row.customer_id,
            provider=row.provider,
            key=f"{policy.mode}:refund:{row.id}:c",
            request=_request(row, _marks(conn, row)),
            now=now,
        )
        return RefundSend(row.id, row.payment_id, row.provider, call)


def _marks(conn: Connection, row: RefundToSend) -> Mapping[str, str]:
    """Return what tells whoever has forgotten the refund of its request and its credit note."""
    asked = idempotency.mark_of(conn, row.id)
    note = None if row.note_id is None else credit_notes.get(conn, row.note_id)
    of_note = {} if note is None else {NOTE: note.number}
    return {**({} if asked is None else asked.as_metadata()), **of_note}


def _request(row: RefundToSend, marks: Mapping[str, str]) -> dict[str, object]:
    """Return the request of a new call.

    Refunds from before engines had ids are sent without one.
    """
    engine = {} if row.engine_id is None else {"engine": str(row.engine_id)}
    return {
        "provider_payment_id": row.provider_payment_id,
        "amount": row.amount,
        "currency": row.currency,
        "metadata": {"refund": str(row.id), "payment": str(row.payment_id), **engine, **marks},
    }


# --- the call -----------------------------------------------------------------------------------


def attempt(context: Context, sending: RefundSend | RefundQuestion) -> RefundAnswer:
    """Send a refund, look it up (see `ask`), or ask about it. Holds no transaction."""
    gateway = context.gateways.of(sending.provider)
    if isinstance(sending, RefundQuestion):
        return _ask_about(gateway, sending.provider_refund_id)
    call, request = sending.call, sending.request
    return ask(
        sends=call.sends,
        age=context.clock.now() - call.first_sent_at,
        capabilities=gateway.capabilities,
        policy=context.policy,
        by_key=lambda: gateway.refund(request, first_send=call.never_executed),
        by_looking=lambda: gateway.look_up_refund(request, since=call.first_sent_at),
    )


def _ask_about(gateway: Gateway, provider_refund_id: str) -> RefundAccepted | Unknown:
    try:
        found = gateway.refund_by_id(provider_refund_id)
    except BillingError as error:
        return Unknown("not_answered", error.what)
    if found is None:
        return Unknown("missing", f"the provider has no refund {provider_refund_id} any more")
    return as_accepted(found)


# --- transaction 2 ------------------------------------------------------------------------------


def finish(
    context: Context, sending: RefundSend | RefundQuestion, answer: RefundAnswer
) -> RefundState:
    """Write the outcome of a send and return the refund's state.

    Running it twice for one send changes nothing.
    """
    now, wall = context.clock.now(), context.clock.wall()
    with marked(CrashPoint.REFUND_RECORDED), context.engine.begin() as conn:
        if isinstance(answer, RefundAccepted):
            return _accepted(conn, sending, answer, now)
        if isinstance(sending, RefundQuestion):
            return _ask_again(conn, sending, wall + context.policy.unknown_backoff_max)
        match answer:
            case Rejected():
                return _refused(conn, sending, answer, now)
            case Unknown() | Deferred():
                again_at = wall + pause(answer, sending.call.sends, context.policy)
                return _send_again(conn, sending, answer, now, again_at)
            case Absent():
                return _send_anew(conn, sending, now)


def _accepted(
    conn: Connection, sending: RefundSend | RefundQuestion, answer: RefundAccepted, now: datetime
) -> RefundState:
    payment = payments.lock_known_payment(conn, sending.payment_id)
    refund = refunds.lock(conn, sending.refund_id)
    if not refund.is_open:
        return refund.state
    return advance(conn, payment, refund, answer, now=now, actor=WORKER)


def _refused(conn: Connection, sending: RefundSend, answer: Rejected, now: datetime) -> RefundState:
    payment = payments.lock_known_payment(conn, sending.payment_id)
    refund = refunds.lock(conn, sending.refund_id)
    if not _ended(conn, sending, AttemptOutcome.REJECTED, now, answer.request_id):
        return refund.state
    why = f"{answer.error_class}: {answer.message}"[: provider_calls.ERROR_MAX]
    take_back(conn, payment, refund, RefundState.FAILED, why, now)
    return RefundState.FAILED


def _send_again(
    conn: Connection,
    sending: RefundSend,
    answer: Unknown | Deferred,
    now: datetime,
    again_at: datetime,
) -> RefundState:
    """Keep the call open; without a definite answer it is the same call that is sent next."""
    refund = refunds.lock(conn, sending.refund_id)
    if note_unanswered(conn, sending.call, answer, now):
        refunds.change(conn, refund.id, lease_until=None, dispatch_after=again_at)
    return refund.state


def _send_anew(conn: Connection, sending: RefundSend, now: datetime) -> RefundState:
    """End the call, under which nothing was executed: what is sent next is another one."""
    refund = refunds.lock(conn, sending.refund_id)
    if _ended(conn, sending, AttemptOutcome.ABSENT, now):
        refunds.change(
            conn, refund.id, next_attempt_at=now, lease_until=None, dispatch_after=NOT_HELD
        )
    return refund.state


def _ask_again(conn: Connection, question: RefundQuestion, again_at: datetime) -> RefundState:
    refund = refunds.lock(conn, question.refund_id)
    if refund.is_open:
        refunds.change(conn, refund.id, lease_until=None, dispatch_after=again_at)
    return refund.state


def _ended(
    conn: Connection,
    sending: RefundSend,
    outcome: AttemptOutcome,
    now: datetime,
    request_id: str | None = None,
) -> bool:
    """End the call that was sent; False where another answer ended it before."""
    return provider_calls.finish_one(conn, sending.call, outcome, now, request_id)
