"""Sending refunds to the provider: one at a time by any worker, any number of times.

    dispatch_due   rows first, messages after, as for charges
    begin          transaction 1: the send is counted and leased
    attempt        the call, outside any transaction
    finish         transaction 2: what the answer means, through `outcomes`

A refund whose outcome is unknown is sent again under the same key, or looked up once the
provider may have forgotten the key; only a proven absence gives it another key.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, Engine

from billing.errors import BillingError
from billing.flows.policy import Policy
from billing.flows.provider_calls import ask
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
from billing.rules.refunds import RefundState, refund_key
from billing.store import dispatch
from billing.store.dispatch import NOT_HELD
from billing.store.payments import payments, refunds
from billing.store.payments.refunds import Refund, RefundToSend

RefundAnswer = RefundAccepted | Rejected | Deferred | Unknown | Absent


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
class RefundSend:
    """A refund that may be sent now; with a `provider_refund_id` it is only looked up.

    `first_send` also holds when every earlier send was certainly not executed.
    """

    refund_id: UUID
    payment_id: UUID
    provider: str
    request: RefundRequest
    provider_refund_id: str | None
    first_send: bool
    first_sent_at: datetime
    sends: int


def begin(
    engine: Engine, refund_id: UUID, *, now: datetime, wall: datetime, policy: Policy
) -> RefundSend | None:
    """Commit that a refund is being sent; None when there is no call to make.

    Safe to run any number of times, anywhere: one caller at a time gets the refund, for the lease.
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
        return RefundSend(
            refund_id=row.id,
            payment_id=row.payment_id,
            provider=row.provider,
            request=_as_sent(row, policy),
            provider_refund_id=row.provider_refund_id,
            first_send=row.never_executed,
            first_sent_at=row.first_sent_at or now,
            sends=row.sends + 1,
        )


def _as_sent(row: RefundToSend, policy: Policy) -> RefundRequest:
    """Return the same request for the same row, so that a resend has the same fingerprint.

    Refunds from before engines had ids were sent without one.
    """
    engine = {} if row.engine_id is None else {"engine": str(row.engine_id)}
    return RefundRequest(
        idempotency_key=refund_key(policy.mode, row.id, row.key_n),
        provider_payment_id=row.provider_payment_id,
        amount=row.money,
        metadata={"refund": str(row.id), "payment": str(row.payment_id)} | engine,
    )


# --- the call -----------------------------------------------------------------------------------


def attempt(
    gateway: Gateway, sending: RefundSend, *, now: datetime, policy: Policy
) -> RefundAnswer:
    """Send a refund, or look it up (see `ask`). Holds no transaction."""
    if sending.provider_refund_id is not None:
        return _ask_about(gateway, sending.provider_refund_id)
    return ask(
        sends=sending.sends,
        age=now - sending.first_sent_at,
        capabilities=gateway.capabilities,
        policy=policy,
        by_key=lambda: gateway.refund(sending.request, first_send=sending.first_send),
        by_looking=lambda: gateway.look_up_refund(sending.request, since=sending.first_sent_at),
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
    engine: Engine,
    sending: RefundSend,
    answer: RefundAnswer,
    *,
    now: datetime,
    wall: datetime,
    policy: Policy,
) -> RefundState:
    """Write the outcome of a send and return the refund's state.

    Running it twice for one send changes nothing.
    """
    with engine.begin() as conn:
        payment = payments.lock_known_payment(conn, sending.payment_id)
        refund = refunds.lock(conn, sending.refund_id)
        if not refund.is_open:
            return refund.state
        match answer:
            case RefundAccepted():
                return advance(conn, payment, refund, answer, now=now, actor=WORKER)
            case Rejected():
                take_back(conn, payment, refund, RefundState.FAILED, _words(answer), now)
                return RefundState.FAILED
            case Unknown() | Deferred():
                told = answer.retry_after if isinstance(answer, Deferred) else None
                _ask_again(conn, refund, answer, now, wall + policy.pause(sending.sends, told))
            case Absent():
                _send_anew(conn, refund, now)
        return refund.state


def _words(answer: Rejected | Unknown | Deferred) -> str:
    return f"{answer.error_class}: {answer.message}"[:500]


def _ask_again(
    conn: Connection, refund: Refund, answer: Unknown | Deferred, now: datetime, again_at: datetime
) -> None:
    unknown_since = refund.unknown_since or (now if isinstance(answer, Unknown) else None)
    refunds.change(
        conn,
        refund.id,
        last_error=_words(answer),
        unknown_since=unknown_since,
        lease_until=None,
        dispatch_after=again_at,
    )


def _send_anew(conn: Connection, refund: Refund, now: datetime) -> None:
    """Give the refund another key: nothing was executed under its last one."""
    refunds.change(
        conn,
        refund.id,
        key_n=refund.key_n + 1,
        first_sent_at=None,
        sends=0,
        unknown_since=None,
        last_error="the provider's lists prove that nothing was refunded: it is sent anew",
        next_attempt_at=now,
        lease_until=None,
        dispatch_after=NOT_HELD,
    )
