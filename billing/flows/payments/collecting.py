"""Collecting a payment: dispatch it, begin an attempt, write its outcome.

    dispatch_due   rows first, messages after: a message is a hint and may be lost or doubled
    begin          transaction 1: the attempt, its key and its request are committed
    (gateway)      the call, outside any transaction; see `attempt`
    finish         transaction 2: state, journal entry, next rung, subscription status

An attempt that was begun and not finished is *open*. It is sent again under the same key, or looked
up once the provider may have forgotten the key; no timeout makes it a failure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection

from billing.flows.context import Context
from billing.flows.dispatching import take_due
from billing.flows.payments.declines import declined
from billing.flows.payments.outcomes import apply
from billing.flows.payments.write_offs import give_up
from billing.flows.policy import Policy
from billing.flows.provider_calls import ask, pause
from billing.gateway import (
    Absent,
    ChargeRequest,
    Declined,
    Outcome,
)
from billing.rules import dunning
from billing.rules.decisions import DecisionKind, decided
from billing.rules.dunning import NO_PAYMENT_METHOD, DeclineClass
from billing.rules.money import Money
from billing.rules.payments import AttemptKind, CallKind, CaptureMethod
from billing.rules.subscriptions import Status
from billing.store.identity import engine_id
from billing.store.payments import attempts, payment_steps, payments, provider_calls
from billing.store.payments.payment_steps import PaymentForAttempt
from billing.store.payments.provider_calls import ProviderCall

# Kinds of attempts that are made at once, whatever the earlier attempts were.
_NOW: Final = frozenset({AttemptKind.MANUAL, AttemptKind.NEW_METHOD, AttemptKind.ABSENT})


def dispatch_due(context: Context, *, limit: int) -> list[UUID]:
    """Return payments that are due, each at most once in a dispatch window (see `take_due`)."""
    return take_due(context, payment_steps.DISPATCH_DUE, limit=limit)


@dataclass(frozen=True, slots=True)
class ChargeSend:
    """A charge that is committed and may now be sent; `kind` says why its attempt was made."""

    call: ProviderCall
    kind: AttemptKind
    request: ChargeRequest

    @property
    def payment_id(self) -> UUID:
        """The payment that is collected."""
        return self.call.subject_id

    @property
    def provider(self) -> str:
        """The account that it is sent to."""
        return self.call.provider


def to_send(call: ProviderCall, kind: AttemptKind) -> ChargeSend:
    """Return the charge of a call, as it was committed."""
    return ChargeSend(call, kind, request_from_json(call.request))


def begin(context: Context, payment_id: UUID) -> ChargeSend | None:
    """Commit the next attempt of a payment, or lease its open one; None when there is no call to
    make.

    Safe to run any number of times, anywhere: one caller at a time gets the attempt, for the lease.
    """
    policy, now, wall = context.policy, context.clock.now(), context.clock.wall()
    with context.engine.begin() as conn:
        row = payment_steps.lock_for_attempt(
            conn, payment_id, now=now, wall=wall, budget_days=policy.budget.window.days
        )
        if row is None:
            return None
        if row.open_attempt_kind is not None:
            call = provider_calls.send_again(conn, row.id, CallKind.CHARGE)
            return _leased(conn, call, row.open_attempt_kind, now, wall + policy.lease)
        if row.next_attempt_kind is AttemptKind.GIVE_UP:
            give_up(
                conn,
                payments.lock_known_payment(conn, payment_id),
                now=now,
                decision=decided(
                    DecisionKind.CANCELED_BEFORE
                    if row.subscription_status == Status.CANCELED
                    else DecisionKind.CUSTOMER_DID_NOTHING
                ),
                policy=policy,
            )
            return None
        if row.payment_method_id is None or row.provider_customer_id is None:
            _no_payment_method(conn, row, now, policy)
            return None
        allowed_at = _allowed_at(row, now, policy)
        if allowed_at > now:
            payments.change(
                conn,
                row.id,
                now,
                next_attempt_at=allowed_at,
                decision=decided(DecisionKind.HELD_BY_BUDGET, allowed_at=allowed_at),
            )
            return None
        call = _new_attempt(conn, row, row.payment_method_id, now, policy)
        return _leased(conn, call, row.next_attempt_kind, now, wall + policy.lease)


def _leased(
    conn: Connection, call: ProviderCall, kind: AttemptKind, now: datetime, until: datetime
) -> ChargeSend:
    payments.change(
        conn, call.subject_id, now, attempt_n=call.n, lease_until=until, dispatch_after=until
    )
    return to_send(call, kind)


def _new_attempt(
    conn: Connection,
    row: PaymentForAttempt,
    payment_method_id: UUID,
    now: datetime,
    policy: Policy,
) -> ProviderCall:
    n = row.attempt_n + 1
    key = _key(policy.mode, row.subscription_id, row.period_start, row.id)
    request = _request(row, n, f"{key}{n}", engine_id(conn))
    return attempts.begin(
        conn,
        payment_id=row.id,
        customer_id=row.customer_id,
        provider=row.provider,
        n=n,
        kind=row.next_attempt_kind,
        payment_method_id=payment_method_id,
        rung=row.rung,
        key=key,
        request=request_to_json(request),
        now=now,
    )


def _request(row: PaymentForAttempt, n: int, key: str, engine: UUID) -> ChargeRequest:
    assert row.provider_customer_id is not None
    assert row.payment_method_token is not None
    metadata = {"payment": str(row.id), "attempt": str(n), "key": key, "engine": str(engine)}
    if row.subscription_id is not None and row.period_start is not None:
        metadata["subscription"] = str(row.subscription_id)
        metadata["period"] = _compact(row.period_start)
    if row.invoice_number is not None:
        metadata["invoice"] = row.invoice_number
    return ChargeRequest(
        idempotency_key=key,
        amount=row.money,
        provider_customer_id=row.provider_customer_id,
        payment_method=row.payment_method_token,
        provider_payment_id=row.provider_payment_id,
        manual_capture=row.capture_method is CaptureMethod.MANUAL,
        description=f"Invoice {row.invoice_number}" if row.invoice_number else row.description,
        metadata=metadata,
    )


def _key(
    mode: str, subscription_id: UUID | None, period_start: datetime | None, payment_id: UUID
) -> str:
    """Return the idempotency key of an attempt without its number.

    It follows from subscription and period; a one-off payment has none, so its own id stands in.
    """
    if subscription_id is None or period_start is None:
        return f"{mode}:payment:{payment_id}:a"
    return f"{mode}:{subscription_id}:{_compact(period_start)}:a"


def _compact(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def _no_payment_method(
    conn: Connection, row: PaymentForAttempt, now: datetime, policy: Policy
) -> None:
    """Decline for want of a payment method, without a call; the customer has as long as the ladder
    lasts.
    """
    declined(
        conn,
        payments.lock_known_payment(conn, row.id),
        attempt_n=None,
        outcome=Declined(
            NO_PAYMENT_METHOD,
            DeclineClass.NEEDS_CUSTOMER,
            message="the customer has no payment method",
        ),
        now=now,
        policy=policy,
    )


def _allowed_at(row: PaymentForAttempt, now: datetime, policy: Policy) -> datetime:
    """Return when the card networks' limits allow this attempt (see `dunning.Budget`).

    A caller waits for the answer to a charge without an invoice, so that is made at once.
    """
    if row.invoice_id is None or row.next_attempt_kind in _NOW:
        return now
    return dunning.earliest_by_budget(policy.budget, row.method_declined_at, now)


# --- the call -----------------------------------------------------------------------------------


def attempt(context: Context, send: ChargeSend) -> Outcome | Absent:
    """Send an attempt, or look it up (see `ask`). Holds no transaction."""
    gateway = context.gateways.of(send.provider)
    return ask(
        sends=send.call.sends,
        age=context.clock.now() - send.call.first_sent_at,
        capabilities=gateway.capabilities,
        policy=context.policy,
        by_key=lambda: gateway.charge(send.request, first_send=send.call.never_executed),
        by_looking=lambda: gateway.look_up(send.request, since=send.call.first_sent_at),
    )


# --- transaction 2 ------------------------------------------------------------------------------


def finish(context: Context, send: ChargeSend, outcome: Outcome | Absent) -> None:
    """Write the outcome of an attempt; a second run for the same attempt changes nothing."""
    policy, now, wall = context.policy, context.clock.now(), context.clock.wall()
    with context.engine.begin() as conn:
        payment = payments.lock_known_payment(conn, send.payment_id)
        if payment.open_attempt_n != send.call.n:
            return
        apply(
            conn,
            payment,
            send.call,
            outcome=outcome,
            now=now,
            again_at=wall + pause(outcome, send.call.sends, policy),
            policy=policy,
        )


# --- requests as they are stored ----------------------------------------------------------------


def request_to_json(request: ChargeRequest) -> dict[str, Any]:
    """Return a request in the form that its call keeps."""
    return {
        "idempotency_key": request.idempotency_key,
        "amount": request.amount.amount,
        "currency": request.amount.currency,
        "provider_customer_id": request.provider_customer_id,
        "payment_method": request.payment_method,
        "provider_payment_id": request.provider_payment_id,
        "manual_capture": request.manual_capture,
        "description": request.description,
        "metadata": dict(request.metadata),
    }


def request_from_json(values: Mapping[str, Any]) -> ChargeRequest:
    """Rebuild the request that was committed, so that a resend has the same fingerprint."""
    rest = {key: value for key, value in values.items() if key not in ("amount", "currency")}
    return ChargeRequest(amount=Money(values["amount"], values["currency"]), **rest)
