"""Collecting a payment: dispatch it, begin an attempt, write its outcome.

    dispatch_due   rows first, messages after: a message is a hint and may be lost or doubled
    begin          transaction 1: the attempt, its key and its request are committed; a payment
                   that is due at another account than before leaves that one first (`leaving`)
    (gateway)      the call, outside any transaction; see `attempt`
    finish         transaction 2: state, journal entry, next rung, subscription status

An attempt that was begun and not finished is *open*. It is sent again under the same key, or looked
up once the provider may have forgotten the key; no timeout makes it a failure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from billing import tracing
from billing.crash_points import CrashPoint, marked
from billing.flows import fence
from billing.flows.context import Context
from billing.flows.dispatching import take_due
from billing.flows.payments import leaving
from billing.flows.payments.charge_requests import (
    invoice_mark,
    key_of,
    period_start,
    request_for,
    request_from_json,
    request_to_json,
)
from billing.flows.payments.declines import declined
from billing.flows.payments.outcomes import apply
from billing.flows.payments.write_offs import end_last_attempt, give_up
from billing.flows.policy import Policy
from billing.flows.provider_calls import ask, pause
from billing.gateway import (
    Absent,
    ChargeRequest,
    Declined,
    Gateway,
    Outcome,
    word_of,
)
from billing.pricing import InvoiceKind
from billing.rules import dunning
from billing.rules.decisions import DecisionKind, decided
from billing.rules.dunning import NO_PAYMENT_METHOD, DeclineClass
from billing.rules.payments import AttemptKind, CallKind
from billing.rules.request_marks import CALLER
from billing.rules.subscriptions import Status, still_collects
from billing.store import fences
from billing.store.access import idempotency
from billing.store.identity import engine_id
from billing.store.payments import (
    attempts,
    payment_steps,
    payments,
    provider_calls,
)
from billing.store.payments.payment_steps import PaymentForAttempt
from billing.store.payments.provider_calls import ProviderCall
from billing.store.subscriptions import plans

# Kinds of attempts that are made at once, whatever the earlier attempts were.
_NOW: Final = frozenset({AttemptKind.MANUAL, AttemptKind.NEW_METHOD, AttemptKind.ABSENT})
_ASKED_FOR: Final = frozenset({AttemptKind.MANUAL, AttemptKind.NEW_METHOD})
_NO_PAYMENT_METHOD: Final = Declined(
    NO_PAYMENT_METHOD, DeclineClass.NEEDS_CUSTOMER, message="the customer has no payment method"
)


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
    """Commit the next attempt of a payment, or lease its open one; None when there is no charge to
    send.

    What an earlier attempt left at another account is canceled here, before the next attempt is
    begun: then the payment is still due, and begun again.
    Safe to run any number of times, anywhere: one caller at a time gets the attempt, for the lease.
    """
    with tracing.span("begin attempt", payment=payment_id) as span:
        sending = fence.begun(context, lambda: _begin(context, payment_id))
        if isinstance(sending, ProviderCall):
            leaving.leave(context, sending)
            return None
        if sending is not None:
            span.set(attempt=sending.call.n, kind=sending.kind, sends=sending.call.sends)
            span.set(subscription=sending.request.metadata.get("subscription"))
    return sending


def _begin(context: Context, payment_id: UUID) -> ChargeSend | ProviderCall | None:
    policy, now, wall = context.policy, context.clock.now(), context.clock.wall()
    horizon = fence.horizon_seen(context.engine)
    with marked(CrashPoint.CHARGE_BEGUN), context.engine.begin() as conn:
        row = payment_steps.lock_for_attempt(
            conn,
            payment_id,
            now=now,
            wall=wall,
            held_until=wall + policy.longest_hold,
            budget_days=policy.budget.window.days,
        )
        if row is None:
            return None
        _refuse_held(context, row, horizon)
        if row.open_attempt_kind is not None:
            call = provider_calls.send_again(conn, row.id, CallKind.CHARGE)
            return leased(conn, call, row.open_attempt_kind, now, wall + policy.lease)
        if _is_not_owed(row) or row.next_attempt_kind is AttemptKind.GIVE_UP:
            _end_collecting(conn, row, now, policy)
            return None
        if row.payment_method_id is None or row.provider_customer_id is None:
            _decline_unasked(conn, row, _NO_PAYMENT_METHOD, now, policy)
            return None
        stopped = _stopped(conn, row, row.payment_method_id)
        if stopped is not None:
            _decline_unasked(conn, row, stopped, now, policy)
            return None
        allowed_at = _allowed_at(row, now, policy)
        if allowed_at > now:
            _hold_to_budget(conn, row, now, allowed_at, policy)
            return None
        at_account = leaving.at_account_of_method(conn, context, row, now)
        if at_account is None:
            return leaving.begin(conn, row, policy, now, wall + policy.lease)
        call = new_attempt(conn, at_account, now, policy)
        return leased(conn, call, row.next_attempt_kind, now, wall + policy.lease)


def _refuse_held(context: Context, row: PaymentForAttempt, horizon: int) -> None:
    """Raise `Fenced` where the fence of an account holds the payment up.

    Every account of its customer has to be compared first: a database that was restored may have
    forgotten that the payment was charged at another one. One that left the configuration can't be.
    """
    is_open = row.open_attempt_kind is not None
    due = row.provider if is_open else row.method_provider or row.provider
    asked = {due, *context.gateways.names}
    held = next((each for each in row.held_at if each in asked), None)
    if held is not None or row.horizon < horizon:
        raise fences.Fenced(held or row.provider)


def _end_collecting(
    conn: Connection, row: PaymentForAttempt, now: datetime, policy: Policy
) -> None:
    """Void what isn't owed any more, or give up what is."""
    payment = payments.lock_known_payment(conn, row.id)
    canceled = row.subscription_status == Status.CANCELED
    kind = DecisionKind.CANCELED_BEFORE if canceled else DecisionKind.CUSTOMER_DID_NOTHING
    end = end_last_attempt if _is_not_owed(row) else give_up
    end(conn, payment, now=now, decision=decided(kind), policy=policy)


def _is_not_owed(row: PaymentForAttempt) -> bool:
    """Tell whether the payment's subscription ended in a way that nothing is charged after.

    What was used until then is owed, and an operator may collect a debt of before all the same.
    """
    by_hand = row.next_attempt_kind is AttemptKind.MANUAL
    return (
        row.subscription_id is not None
        and row.invoice_kind is not InvoiceKind.FINAL
        and not by_hand
        and not still_collects(
            row.subscription_ended_by if row.subscription_status is Status.CANCELED else None
        )
    )


def _hold_to_budget(
    conn: Connection,
    row: PaymentForAttempt,
    now: datetime,
    allowed_at: datetime,
    policy: Policy,
) -> None:
    """Put an attempt off to the instant that the budget allows, or give up when the ladder ends.

    A payment that wasn't declined yet has no ladder that could end.
    """
    held = decided(DecisionKind.HELD_BY_BUDGET, allowed_at=allowed_at)
    ends_at = row.ladder_ends_at
    if ends_at is None and row.decline_class is not None:
        ladder = policy.ladder if row.plan is None else plans.ladder(conn, row.plan)
        ends_at = dunning.ladder_end(ladder or policy.ladder, row.rung, now, row.zone or "UTC")
    if ends_at is None or allowed_at <= ends_at:
        payments.change(
            conn,
            row.id,
            now,
            next_attempt_at=allowed_at,
            ladder_ends_at=ends_at,
            decision=held,
        )
        return
    payments.change(
        conn,
        row.id,
        now,
        next_attempt_at=max(now, ends_at),
        next_attempt_kind=AttemptKind.GIVE_UP,
        ladder_ends_at=ends_at,
        decision=held.and_also(gives_up_at=ends_at),
    )


def leased(
    conn: Connection, call: ProviderCall, kind: AttemptKind, now: datetime, until: datetime
) -> ChargeSend:
    """Lease the payment of a call that was begun; return what is to be sent."""
    payments.change(
        conn, call.subject_id, now, attempt_n=call.n, lease_until=until, dispatch_after=until
    )
    return to_send(call, kind)


def new_attempt(
    conn: Connection,
    row: PaymentForAttempt,
    now: datetime,
    policy: Policy,
    mark: Mapping[str, str] | None = None,
) -> ProviderCall:
    """Begin the next attempt of a payment, with the payment method and the account that it has.

    `mark` is what the charge says of its request, where it was made before.
    """
    assert row.payment_method_id is not None, "it was asked for before"
    n = row.attempt_n + 1
    key = key_of(policy.mode, row.subscription_id, row.period_start, row.id)
    told = _mark(conn, row) if mark is None else mark
    request = request_for(row, n, f"{key}{n}", engine_id(conn), told)
    return attempts.begin(
        conn,
        payment_id=row.id,
        customer_id=row.customer_id,
        provider=row.provider,
        n=n,
        kind=row.next_attempt_kind,
        payment_method_id=row.payment_method_id,
        rung=row.rung,
        key=key,
        request=request_to_json(request),
        now=now,
    )


def _mark(conn: Connection, row: PaymentForAttempt) -> Mapping[str, str]:
    invoice = invoice_mark(row)
    if invoice is None:
        asked = idempotency.mark_of(conn, row.id)
        return {} if asked is None else asked.as_metadata()
    if row.invoice_id is None or not (invoice.order or invoice.top_up):
        return invoice.as_metadata()
    asked = idempotency.mark_of(conn, row.invoice_id)
    return {**invoice.as_metadata(), **({} if asked is None else asked.as_metadata(CALLER))}


def _stopped(conn: Connection, row: PaymentForAttempt, payment_method_id: UUID) -> Declined | None:
    """Return the decline after which the payment method isn't tried again, if there was one.

    It holds for all invoices until the method changes. A caller who charges once, a person and a
    customer who adds the method again ask for an attempt all the same.
    """
    at, code, decline_class = row.last_decline_at, row.last_decline_code, row.last_decline_class
    asked = row.invoice_id is None or row.next_attempt_kind in _ASKED_FOR
    if asked or at is None or code is None or decline_class is None:
        return None
    if not dunning.stops_method(decline_class, code):
        return None
    if payment_steps.charged_since(conn, row.customer_id, payment_method_id, at):
        return None
    return Declined(code, decline_class, message="the payment method was declined before")


def _decline_unasked(
    conn: Connection, row: PaymentForAttempt, outcome: Declined, now: datetime, policy: Policy
) -> None:
    """Decline without a call; the customer has as long as the ladder lasts, if the class allows."""
    declined(
        conn,
        payments.lock_known_payment(conn, row.id),
        attempt_n=None,
        outcome=outcome,
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
        by_key=lambda: _charge(context, gateway, send),
        by_looking=lambda: gateway.look_up(send.request, since=send.call.first_sent_at),
    )


def _charge(context: Context, gateway: Gateway, send: ChargeSend) -> Outcome:
    """Send an attempt under its key; one that comes late is looked for first.

    Where the period began longer ago than the provider keeps keys, one may have been made there
    that this database doesn't know, under a key that is forgotten or by another attempt.
    """
    request, late_from = send.request, context.policy.keys_hold(gateway.capabilities)
    begins = period_start(request.metadata)
    if (
        request.provider_payment_id is None
        and begins is not None
        and context.clock.now() - begins >= late_from
    ):
        found = gateway.find_payment(request, since=begins)
        if not isinstance(found, Absent):
            return found
    return gateway.charge(request, first_send=send.call.never_executed)


# --- transaction 2 ------------------------------------------------------------------------------


def finish(context: Context, send: ChargeSend, outcome: Outcome | Absent) -> None:
    """Write the outcome of an attempt; a second run for the same attempt changes nothing.

    Nor does the outcome of a payment that is unknown: the database was set back meanwhile, and a
    recovery adopts what the provider did.
    """
    with tracing.span(
        "finish attempt", payment=send.payment_id, attempt=send.call.n, outcome=word_of(outcome)
    ):
        _finish(context, send, outcome)


def _finish(context: Context, send: ChargeSend, outcome: Outcome | Absent) -> None:
    policy, now, wall = context.policy, context.clock.now(), context.clock.wall()
    with marked(CrashPoint.CHARGE_RECORDED), context.engine.begin() as conn:
        payment = payments.lock_payment(conn, send.payment_id)
        if payment is None or payment.open_attempt_n != send.call.n:
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
