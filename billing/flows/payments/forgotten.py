"""Writing down attempts that this database has forgotten: they are looked up, and not sent."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from billing.crash_points import CrashPoint, marked
from billing.flows.context import Context
from billing.flows.payments.collecting import ChargeSend, finish, leased, new_attempt
from billing.gateway import Absent, Declined, Outcome, Succeeded
from billing.rules.payments import AttemptKind, CallKind
from billing.store import fences
from billing.store.payments import payment_steps, payments, provider_calls
from billing.store.payments.payment_steps import PaymentForAttempt

_END_OF_TIME: Final = datetime.max.replace(tzinfo=UTC)


def adopt(
    context: Context,
    payment_id: UUID,
    *,
    sent_at: datetime,
    last_attempt: int,
    mark: Mapping[str, str],
    told: Succeeded | None = None,
) -> Outcome | Absent | None:
    """Write down the outcome of an attempt that this database has forgotten; send nothing.

    `mark` is what the charge says of its request. `told` is the outcome where a list has told it.
    Otherwise it is looked up by the attempt's key, which follows from the payment; attempts that
    were never executed are passed, up to `last_attempt`. One that is open at another account is
    looked up there first. Returns None where the payment isn't collected any more, or its customer
    has no payment method here.
    """
    while True:
        sending = _begin_forgotten(context, payment_id, sent_at, mark)
        if sending is None:
            return None
        is_here = sending.provider == context.account
        since = sent_at if is_here else sending.call.first_sent_at
        gateway = context.gateways.of(sending.provider)
        outcome: Outcome | Absent
        outcome = (told if is_here else None) or gateway.look_up(sending.request, since=since)
        finish(context, sending, outcome)
        if isinstance(outcome, Absent | Declined) and not is_here:
            continue
        if not isinstance(outcome, Absent) or sending.call.n >= last_attempt:
            return outcome


def _begin_forgotten(
    context: Context, payment_id: UUID, sent_at: datetime, mark: Mapping[str, str]
) -> ChargeSend | None:
    """Begin an attempt that was made before, whenever the next one is due."""
    with marked(CrashPoint.FORGOTTEN_CHARGE_BEGUN), context.engine.begin() as conn:
        fences.adopt(conn)
        row = payment_steps.lock_for_attempt(
            conn,
            payment_id,
            now=_END_OF_TIME,
            wall=_END_OF_TIME,
            held_until=_END_OF_TIME,
            budget_days=0,
        )
        if row is None:
            return None
        now, until = context.clock.now(), context.clock.wall() + context.policy.lease
        if row.open_attempt_kind is not None:
            call = provider_calls.send_again(conn, row.id, CallKind.CHARGE)
            return leased(conn, call, row.open_attempt_kind, now, until)
        if row.next_attempt_kind is AttemptKind.GIVE_UP:
            # It waited for the customer, who did something: its ladder goes on after a decline.
            row = replace(row, next_attempt_kind=AttemptKind.MANUAL)
            payments.change(conn, row.id, now, next_attempt_kind=AttemptKind.MANUAL)
        charged = _as_charged_at(conn, row, context.account, now)
        if charged is None:
            return None
        call = new_attempt(conn, charged, sent_at, context.policy, mark)
        return leased(conn, call, row.next_attempt_kind, now, until)


def _as_charged_at(
    conn: Connection, row: PaymentForAttempt, provider: str, now: datetime
) -> PaymentForAttempt | None:
    """Return a payment as it was charged at this account; None without a payment method there."""
    if row.method_provider != provider:
        method = payment_steps.method_at(conn, row.customer_id, provider)
        if method is None:
            return None
        row = replace(row, **asdict(method))
    if row.provider_customer_id is None:
        return None
    if row.provider == provider:
        return row
    payments.change(conn, row.id, now, provider=provider, provider_payment_id=None)
    return replace(row, provider=provider, provider_payment_id=None)
