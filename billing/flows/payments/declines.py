"""Writing a decline and what the ladder decides on it, inside the caller's transaction."""

from datetime import datetime

from sqlalchemy import Connection

from billing.flows.payments.subscription_status import call_past_due, ladder_of
from billing.flows.payments.write_offs import give_up
from billing.flows.policy import Policy
from billing.gateway import ActionRequired, Declined
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
)
from billing.rules.payments import (
    AttemptKind,
    AttemptOutcome,
)
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
    zone = payment.zone or "UTC"
    follows = dunning.decide(
        decline_class,
        ladder_of(conn, payment, policy),
        payment.rung,
        now,
        zone,
        code=advice or code,
    )
    if attempt_n is not None and customers.has_newer_method(conn, payment.id, attempt_n):
        changed = decided(DecisionKind.METHOD_CHANGED_MEANWHILE, code=code)
        follows = RetryAt(now, payment.rung, changed)
    if is_last_attempt(payment, attempt_n):
        follows = Stop(decided(DecisionKind.CANCELED_MEANWHILE, code=code))
    if payment.invoice_id is None:
        follows = Stop(decided(DecisionKind.NO_LADDER, code=code))
    if attempt_n is not None:
        if isinstance(follows, RetryAt) and follows.at > now:
            since = now - policy.budget.window
            before = attempts.declines_of_method(conn, payment.id, attempt_n, since)
            follows = hold_to_budget(follows, policy.budget, [*before, now], zone)
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
    payments.change(
        conn,
        payment.id,
        now,
        provider_payment_id=outcome.provider_payment_id or payment.provider_payment_id,
        decline_code=code,
        decline_class=decline_class,
        decision=follows.decision,
        lease_until=None,
        dispatch_after=NOT_HELD,
        **_next_attempt(follows, payment.rung),
    )
    if isinstance(follows, Stop):
        give_up(conn, payment, now=now, decision=follows.decision, policy=policy)
    elif payment.subscription_id is not None:
        call_past_due(conn, payment, code, follows.decision, now)


def is_last_attempt(payment: LockedPayment, attempt_n: int | None) -> bool:
    """Tell whether the subscription was canceled while this attempt was open.

    `lifecycle.cancel` records that by setting the payment's next attempt to "give up".
    """
    return attempt_n is not None and payment.next_attempt_kind is AttemptKind.GIVE_UP


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
