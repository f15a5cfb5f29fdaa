"""Leaving an account: what a payment left there is canceled before another account is tried.

    begin     in the caller's transaction: the payment is leased, and its call committed
    attempt   the call, outside any transaction
    finish    a transaction: canceled, the payment forgets the provider's object

Where a provider holds a payment before money moves, an earlier attempt left an object that its
customer might still pay. It takes no money once it is canceled. An object that turns out to be
paid stays, and the next attempt, at the same account, finds that out. Where the provider refuses
to cancel, the payment is parked for a person. To cancel is safe to repeat.
"""

from dataclasses import asdict, replace
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from billing.crash_points import CrashPoint, marked
from billing.errors import BillingError
from billing.flows.context import Context
from billing.flows.payments.authorization_sending import VOID, AuthorizationStep
from billing.flows.payments.authorization_sending import attempt as ask
from billing.flows.payments.parking import park
from billing.flows.policy import Policy
from billing.flows.provider_calls import note_unanswered, pause
from billing.gateway import Absent, Deferred, Outcome, Succeeded, Unknown
from billing.rules.money import Money
from billing.rules.payments import AttemptOutcome, CallKind, State
from billing.store.dispatch import NOT_HELD
from billing.store.payments import payment_steps, payments, provider_calls
from billing.store.payments.payment_steps import PaymentForAttempt
from billing.store.payments.provider_calls import ProviderCall

_NOT_REACHED: Final = "not_reached"


def at_account_of_method(
    conn: Connection, context: Context, row: PaymentForAttempt, now: datetime
) -> PaymentForAttempt | None:
    """Return the payment as it is tried, at the account of its method; None where it leaves first.

    What it left at its account before must not take money any more.
    """
    if row.is_leaving:
        return None
    assert row.method_provider is not None
    if row.method_provider == row.provider:
        return row
    if _left_something(context, row):
        return _as_before(conn, row) if _must_stay(conn, row) else None
    payments.change(conn, row.id, now, provider=row.method_provider, provider_payment_id=None)
    return replace(row, provider=row.method_provider, provider_payment_id=None)


def _as_before(conn: Connection, row: PaymentForAttempt) -> PaymentForAttempt:
    """Return the payment with the method that it was tried with last, at the same account."""
    method = payment_steps.last_method(conn, row.id)
    assert method is not None, "an attempt made the object that is there"
    return replace(row, **asdict(method))


def _left_something(context: Context, row: PaymentForAttempt) -> bool:
    """Tell whether the payment has an object at its account that could still take money."""
    if row.provider_payment_id is None:
        return False
    try:
        return context.gateways.of(row.provider).capabilities.holds_payment
    except BillingError:
        return True


def _must_stay(conn: Connection, row: PaymentForAttempt) -> bool:
    """Tell whether the object at the payment's account wasn't canceled, as it is paid."""
    last = provider_calls.last(conn, row.id, CallKind.CANCEL)
    return (
        last is not None
        and last.outcome is AttemptOutcome.ABSENT
        and last.request["provider_payment_id"] == row.provider_payment_id
    )


def begin(
    conn: Connection, row: PaymentForAttempt, policy: Policy, now: datetime, until: datetime
) -> ProviderCall:
    """Count a send of the call that cancels what the payment left, and lease the payment."""
    payments.change(conn, row.id, now, lease_until=until, dispatch_after=until)
    return provider_calls.begin(
        conn,
        kind=CallKind.CANCEL,
        subject_id=row.id,
        customer_id=row.customer_id,
        provider=row.provider,
        key=f"{policy.mode}:payment:{row.id}:cancel:c",
        request={
            "provider_payment_id": row.provider_payment_id,
            "amount": row.amount,
            "currency": row.currency,
        },
        now=now,
    )


def leave(context: Context, call: ProviderCall) -> None:
    """Cancel what a payment left, and write down what came of it."""
    finish(context, call, attempt(context, call))


def attempt(context: Context, call: ProviderCall) -> Outcome | Absent:
    """Send the call. Holds no transaction."""
    step = AuthorizationStep(
        payment_id=call.subject_id,
        provider=call.provider,
        kind=VOID,
        provider_payment_id=call.request["provider_payment_id"],
        amount=Money(call.request["amount"], call.request["currency"]),
        call=call,
    )
    try:
        return ask(context, step)
    except BillingError as error:
        return Unknown(_NOT_REACHED, error.what)


def finish(context: Context, call: ProviderCall, outcome: Outcome | Absent) -> None:
    """Write the outcome; a second run for the same call changes nothing."""
    now, wall = context.clock.now(), context.clock.wall()
    with marked(CrashPoint.LEAVING_RECORDED), context.engine.begin() as conn:
        payment = payments.lock_known_payment(conn, call.subject_id)
        if isinstance(outcome, Unknown | Deferred):
            if note_unanswered(conn, call, outcome, now):
                again_at = wall + pause(outcome, call.sends, context.policy)
                payments.change(
                    conn, call.subject_id, now, lease_until=None, dispatch_after=again_at
                )
            return
        if not provider_calls.finish_one(conn, call, _end_of(outcome), now):
            return
        payments.change(conn, payment.id, now, lease_until=None, dispatch_after=NOT_HELD)
        if isinstance(outcome, Absent):
            if payment.provider_payment_id == call.request["provider_payment_id"]:
                payments.change(conn, payment.id, now, provider_payment_id=None)
        elif not isinstance(outcome, Succeeded) and payment.state is State.CREATED:
            park(conn, payment.id, now, reason="rejected", error=f"{outcome.message}")


def _end_of(outcome: Outcome | Absent) -> AttemptOutcome:
    """Return the end of a call that canceled, or found a payment, or was refused."""
    match outcome:
        case Absent():
            return AttemptOutcome.SUCCEEDED
        case Succeeded():
            return AttemptOutcome.ABSENT
        case _:
            return AttemptOutcome.REJECTED
