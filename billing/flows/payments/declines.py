"""Writing a decline and what the ladder decides on it, inside the caller's transaction."""

from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from billing.flows.payments.subscription_status import call_past_due, ladder_of
from billing.flows.payments.write_offs import end_last_attempt, give_up
from billing.flows.policy import Policy
from billing.gateway import ActionRequired, Declined
from billing.plans.terms import Dunning
from billing.rules import dunning
from billing.rules.decisions import DecisionKind, decided
from billing.rules.dunning import (
    Advice,
    DeclineClass,
    Next,
    RetryAt,
    Stop,
    WaitForCustomer,
    hold_to_budget,
    hold_to_end,
)
from billing.rules.payments import (
    AttemptKind,
    AttemptOutcome,
)
from billing.rules.subscriptions import Status, still_collects
from billing.store.dispatch import NOT_HELD
from billing.store.payments import attempts, payments
from billing.store.payments.payments import LockedPayment, NextAttempt
from billing.store.subscriptions import customers


def declined(
    conn: Connection,
    payment: LockedPayment,
    *,
    attempt_n: int | None,
    outcome: Declined | ActionRequired,
    now: datetime,
    policy: Policy,
) -> None:
    """Write a decline and the ladder's decision on it.

    `attempt_n` is None where the provider wasn't asked, because there is no payment method.
    """
    code, decline_class, advice = _decline(outcome)
    ladder = ladder_of(conn, payment, policy)
    ends_at: datetime | None = None
    follows = _what_follows(conn, payment, attempt_n, outcome, ladder, now)
    if attempt_n is not None:
        follows, ends_at = _within_bounds(conn, payment, attempt_n, follows, ladder, now, policy)
        attempts.finish(
            conn,
            payment.id,
            AttemptOutcome.ACTION_REQUIRED
            if isinstance(outcome, ActionRequired)
            else AttemptOutcome.DECLINED,
            now,
            outcome.request_id,
            decline_code=code,
            advice_code=advice,
            decline_class=decline_class,
            message=outcome.message,
            decision=follows.decision,
        )
    known = outcome.provider_payment_id or payment.provider_payment_id
    payments.change(conn, payment.id, now, provider_payment_id=known, ladder_ends_at=ends_at)
    _follow(conn, payment, outcome, follows, now, policy)


def declined_after_capture(
    conn: Connection, payment: LockedPayment, outcome: Declined, *, now: datetime, policy: Policy
) -> None:
    """Write what the ladder decides on a settlement that was declined; the payment is CREATED.

    The attempt succeeded at the time and stays so: what follows is that of a decline of it.
    """
    ladder = ladder_of(conn, payment, policy)
    follows = _what_follows(conn, payment, payment.attempt_n, outcome, ladder, now)
    payments.change(conn, payment.id, now, ladder_ends_at=None)
    _follow(conn, payment, outcome, follows, now, policy, was_paid=True)


def _what_follows(
    conn: Connection,
    payment: LockedPayment,
    attempt_n: int | None,
    outcome: Declined | ActionRequired,
    ladder: Dunning,
    now: datetime,
) -> Next:
    """Return what the ladder decides, or what rules it out."""
    code, decline_class, advice = _decline(outcome)
    if payment.invoice_id is None:
        return Stop(decided(DecisionKind.NO_LADDER, code=code))
    if is_last_attempt(payment):
        return Stop(decided(DecisionKind.CANCELED_MEANWHILE, code=code))
    if attempt_n is not None and customers.has_newer_method(conn, payment.id, attempt_n):
        changed = decided(DecisionKind.METHOD_CHANGED_MEANWHILE, code=code)
        return RetryAt(now, payment.rung, changed)
    zone = payment.zone or "UTC"
    return dunning.decide(decline_class, ladder, payment.rung, now, zone, code=advice or code)


def _follow(
    conn: Connection,
    payment: LockedPayment,
    outcome: Declined | ActionRequired,
    follows: Next,
    now: datetime,
    policy: Policy,
    *,
    was_paid: bool = False,
) -> None:
    code, decline_class, _ = _decline(outcome)
    payments.change(
        conn,
        payment.id,
        now,
        decline_code=code,
        decline_class=decline_class,
        decision=follows.decision,
        lease_until=None,
        dispatch_after=NOT_HELD,
        **_next_attempt(follows, payment.rung),
    )
    if follows.decision.kind is DecisionKind.CANCELED_MEANWHILE and not was_paid:
        end_last_attempt(conn, payment, now=now, decision=follows.decision, policy=policy)
    elif isinstance(follows, Stop):
        give_up(conn, payment, now=now, decision=follows.decision, policy=policy)
    elif payment.subscription_id is not None:
        call_past_due(conn, payment, code, follows.decision, now)


def is_last_attempt(payment: LockedPayment) -> bool:
    """Tell whether the subscription ended before this attempt was decided.

    `lifecycle.cancel` records that by setting the payment's next attempt to "give up". An end by
    another payment's ladder is read from the subscription.
    """
    ended = payment.subscription_status is Status.CANCELED
    stopped = ended and not still_collects(payment.subscription_ended_by)
    return stopped or payment.next_attempt_kind is AttemptKind.GIVE_UP


def _within_bounds(
    conn: Connection,
    payment: LockedPayment,
    attempt_n: int,
    follows: Next,
    ladder: Dunning,
    now: datetime,
    policy: Policy,
) -> tuple[Next, datetime | None]:
    """Return what follows as budget and ladder allow it, and when the ladder ends, if fixed."""
    match follows:
        case RetryAt() if follows.at > now:
            return _within_budget(conn, payment, attempt_n, follows, ladder, now, policy)
        case WaitForCustomer():
            return _within_ladder(payment, follows)
        case _:
            return follows, None


def _within_budget(
    conn: Connection,
    payment: LockedPayment,
    attempt_n: int,
    retry: RetryAt,
    ladder: Dunning,
    now: datetime,
    policy: Policy,
) -> tuple[Next, datetime | None]:
    """Return the retry as the budget of the payment method allows it, and when the ladder ends.

    That end is fixed where the budget first puts an attempt off, and counted anew after an attempt
    that the ladder didn't ask for. None: nothing was put off.
    """
    zone = payment.zone or "UTC"
    before = attempts.declines_of_method(conn, payment.id, attempt_n, now - policy.budget.window)
    held = hold_to_budget(retry, policy.budget, [*before, now], zone)
    ends_at = _fixed_end(payment)
    if ends_at is None and held.at > retry.at:
        ends_at = dunning.ladder_end(ladder, payment.rung, now, zone)
    return (held, None) if ends_at is None else (hold_to_end(held, ends_at, now), ends_at)


def _within_ladder(
    payment: LockedPayment, wait: WaitForCustomer
) -> tuple[WaitForCustomer, datetime | None]:
    """Return the wait for the customer, which never outlasts a ladder whose end is fixed."""
    ends_at = _fixed_end(payment)
    if ends_at is None or wait.until <= ends_at:
        return wait, ends_at
    return replace(wait, until=ends_at), ends_at


def _fixed_end(payment: LockedPayment) -> datetime | None:
    """Return the fixed end of the ladder that asked for this attempt, if it was fixed."""
    by_ladder = payment.next_attempt_kind in (AttemptKind.LADDER, AttemptKind.ABSENT)
    return payment.ladder_ends_at if by_ladder else None


def _decline(outcome: Declined | ActionRequired) -> tuple[str, DeclineClass, Advice | None]:
    match outcome:
        case Declined(decline_code=code, decline_class=decline_class, advice=advice):
            return code, decline_class, advice
        case ActionRequired():
            return dunning.AUTHENTICATION_REQUIRED, DeclineClass.NEEDS_CUSTOMER, None


def _next_attempt(follows: Next, rung: int) -> NextAttempt:
    match follows:
        case RetryAt(at=at, rung=next_rung):
            kind = AttemptKind.LADDER if next_rung > rung else AttemptKind.NEW_METHOD
            return {"next_attempt_at": at, "next_attempt_kind": kind, "rung": next_rung}
        case WaitForCustomer(until=until):
            return {
                "next_attempt_at": until,
                "next_attempt_kind": AttemptKind.GIVE_UP,
                "rung": rung,
            }
        case Stop():
            return {"next_attempt_at": None, "next_attempt_kind": None, "rung": rung}
