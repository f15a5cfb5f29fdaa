"""What a payment's outcome means for its subscription, inside the caller's transaction.

The caller holds the payment's lock: payments are locked before their subscription.
"""

from datetime import datetime

from sqlalchemy import Connection

from billing.flows.cycles.skipping import skip_missed
from billing.flows.policy import Policy
from billing.rules.actor import WORKER, Actor
from billing.rules.decisions import Decision, evidence_of
from billing.rules.subscriptions import (
    Status,
    SubscriptionEventKind,
    after_capture,
    after_decline,
    after_give_up,
    is_paused_from_now_on,
)
from billing.store.payments import payments
from billing.store.payments.payments import LockedPayment
from billing.store.subscriptions import changes, plans, subscriptions
from billing.store.subscriptions.subscriptions import Subscription
from plans.terms import Dunning


def recover_subscription(
    conn: Connection, payment: LockedPayment, now: datetime, actor: Actor
) -> None:
    """Make a subscription active whose payment was captured, unless another one of it is open."""
    if payment.subscription_status not in (Status.PAST_DUE, Status.UNPAID):
        return
    subscription = _locked(conn, payment)
    others = payments.others_past_due(conn, subscription.id, payment.id)
    paused = is_paused_from_now_on(changes.of(conn, subscription.id))
    after = after_capture(subscription.status, others, paused=paused)
    if after is subscription.status:
        return
    if subscription.status is Status.UNPAID:
        # The periods in which the subscription was unpaid are skipped: they are never billed.
        skip_missed(conn, subscription, now)
    subscriptions.change(conn, subscription.id, status=after)
    subscriptions.note(
        conn,
        subscription.id,
        at=now,
        kind=SubscriptionEventKind.RECOVERED,
        actor=actor,
        before=subscription.status,
        after=after,
        payment=payment.id,
    )


def call_past_due(
    conn: Connection, payment: LockedPayment, code: str, decision: Decision, now: datetime
) -> None:
    """Make a subscription past due: its payment was declined and will be tried again."""
    subscription = _locked(conn, payment)
    if after_decline(subscription.status) is subscription.status:
        return
    subscriptions.change(conn, subscription.id, status=Status.PAST_DUE)
    subscriptions.note(
        conn,
        subscription.id,
        at=now,
        kind=SubscriptionEventKind.PAST_DUE,
        actor=WORKER,
        before=subscription.status,
        payment=payment.id,
        decline_code=code,
        **evidence_of(decision),
    )


def end_subscription(
    conn: Connection, payment: LockedPayment, decision: Decision, now: datetime, policy: Policy
) -> None:
    """Cancel a subscription whose payment was given up, or make it unpaid, as its plan says."""
    subscription = _locked(conn, payment)
    then = ladder_of(conn, payment, policy).then
    if subscription.cancels_at is not None:
        then = "cancel"  # it would never be billed again, whoever pays
    ended = after_give_up(subscription.status, then)
    if ended is subscription.status:
        return
    subscriptions.change(
        conn,
        subscription.id,
        status=ended,
        renews_at=None,
        canceled_at=now if ended is Status.CANCELED else None,
    )
    subscriptions.note(
        conn,
        subscription.id,
        at=now,
        kind=SubscriptionEventKind(ended),
        actor=WORKER,
        before=subscription.status,
        payment=payment.id,
        **evidence_of(decision),
    )


def ladder_of(conn: Connection, payment: LockedPayment, policy: Policy) -> Dunning:
    """Return the ladder of a payment: that of its plan, or the one for all plans."""
    if payment.plan is None:
        return policy.ladder
    return plans.ladder(conn, payment.plan) or policy.ladder


def _locked(conn: Connection, payment: LockedPayment) -> Subscription:
    assert payment.subscription_id is not None, "a one-off payment has no subscription"
    subscription = subscriptions.lock(conn, payment.subscription_id)
    assert subscription is not None, "subscriptions are never deleted"
    return subscription
