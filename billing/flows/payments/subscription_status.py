"""What a payment's outcome means for its subscription, inside the caller's transaction.

The caller holds the payment's lock: payments are locked before their subscription.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from billing.flows.cycles.ending import end_with_what_is_paid, leave_unpaid
from billing.flows.cycles.skipping import skip_missed
from billing.flows.policy import Policy
from billing.plans.terms import Dunning
from billing.rules.actor import PROVIDER, WORKER, Actor
from billing.rules.decisions import Decision, evidence_of
from billing.rules.subscriptions import (
    DatedChangeKind,
    EndedBy,
    Status,
    SubscriptionEventKind,
    after_capture,
    after_decline,
    after_give_up,
    can_pause,
    is_paused_from_now_on,
    unpaid_from,
)
from billing.store.payments import debts, invoices, payment_history
from billing.store.payments.payments import LockedPayment
from billing.store.subscriptions import changes, plans, subscriptions
from billing.store.subscriptions.subscriptions import Subscription

_GIVEN_UP: Final = "collecting was given up"
_LOST: Final = "a dispute was lost"
_DEBTS_PAID: Final = "everything that was owed is paid"


def recover_subscription(
    conn: Connection, payment: LockedPayment, now: datetime, actor: Actor
) -> None:
    """Make a subscription active whose payment was captured, unless another one of it is open.

    What was to follow from the debt, an end or that it is unpaid, is taken back with it.
    """
    declined = payment.decline_class is not None
    was_given_up = declined and payment_history.times_failed(conn, payment.id) > 0
    if not was_given_up and payment.subscription_status not in (Status.PAST_DUE, Status.UNPAID):
        return
    subscription = _locked(conn, payment)
    others = debts.others_past_due(conn, subscription.id, payment.id)
    if not others:
        _take_back(conn, subscription, payment, now)
    after = _after_debt(conn, subscription, others, now)
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


def _take_back(
    conn: Connection, subscription: Subscription, payment: LockedPayment, now: datetime
) -> None:
    """Take back what was to follow later from debts, when the last of them is paid."""
    if subscription.status in (Status.CANCELED, Status.UNPAID):
        return
    ends = subscription.ended_by is EndedBy.LADDER
    is_unpaid_later = unpaid_from(changes.of(conn, subscription.id)) is not None
    if not (ends or is_unpaid_later):
        return
    since = changes.pending_since(conn, subscription.id)
    if debts.others_given_up(conn, subscription.id, payment.id, since=since):
        return
    if ends:
        subscriptions.change(conn, subscription.id, cancels_at=None, ended_by=None)
        _record(conn, subscription, DatedChangeKind.KEEP, now, holds_from=now)
    if is_unpaid_later:
        _record(conn, subscription, DatedChangeKind.PAID, now, holds_from=now)
    subscriptions.note(
        conn,
        subscription.id,
        at=now,
        kind=SubscriptionEventKind.KEPT,
        actor=WORKER,
        why=_DEBTS_PAID,
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
    """Cancel a subscription whose payment was given up, or make it unpaid, as its plan says.

    That holds from now on, or else from the end of the last period that is paid.
    """
    subscription = _locked(conn, payment)
    then = ladder_of(conn, payment, policy).then
    if subscription.cancels_at is not None:
        then = "cancel"  # it would never be billed again, whoever pays
    ended = after_give_up(subscription.status, then)
    if ended is subscription.status:
        return
    facts = {"payment": payment.id, **evidence_of(decision)}
    paid_until = invoices.paid_until(conn, subscription.id)
    if ended is Status.CANCELED:
        others = debts.others_past_due(conn, subscription.id, payment.id)
        end_with_what_is_paid(
            conn,
            subscription,
            EndedBy.LADDER,
            status=_after_debt(conn, subscription, others, now),
            paid_until=paid_until,
            now=now,
            actor=WORKER,
            why=_GIVEN_UP,
            facts=facts,
        )
        return
    if paid_until is not None and paid_until > now:
        _become_unpaid_later(conn, subscription, payment, paid_until, now, facts)
        return
    leave_unpaid(conn, subscription, now, WORKER, **facts)


def _become_unpaid_later(
    conn: Connection,
    subscription: Subscription,
    payment: LockedPayment,
    paid_until: datetime,
    now: datetime,
    facts: Mapping[str, object],
) -> None:
    """Let a subscription be unpaid from the end of what is paid on, unless the debt is paid."""
    others = debts.others_past_due(conn, subscription.id, payment.id)
    subscriptions.change(conn, subscription.id, status=_after_debt(conn, subscription, others, now))
    if unpaid_from(changes.of(conn, subscription.id)) is not None:
        return
    _record(conn, subscription, DatedChangeKind.UNPAID, now, holds_from=paid_until)
    subscriptions.note(
        conn,
        subscription.id,
        at=now,
        kind=SubscriptionEventKind.UNPAID_AT_PERIOD_END,
        actor=WORKER,
        ends_at=paid_until,
        **facts,
    )


def lose_payment(
    conn: Connection, payment: LockedPayment, dispute: Mapping[str, object], now: datetime
) -> None:
    """Write to a subscription's history that a payment was lost in a dispute, and do as its plan
    says: nothing, pause it, or end it with the last period that is paid and wasn't lost.
    """
    if payment.subscription_id is None or payment.plan is None:
        return
    subscription = _locked(conn, payment)
    wanted = plans.on_dispute(conn, payment.plan)
    subscriptions.note(
        conn,
        subscription.id,
        at=now,
        kind=SubscriptionEventKind.DISPUTE_LOST,
        actor=PROVIDER,
        payment=payment.id,
        on_dispute=wanted,
        **dispute,
    )
    if subscription.has_ended(now):
        return
    if wanted == "pause":
        _pause(conn, subscription, now)
    elif wanted == "cancel":
        end_with_what_is_paid(
            conn,
            subscription,
            EndedBy.DISPUTE,
            status=subscription.status,
            paid_until=invoices.paid_until(conn, subscription.id),
            now=now,
            actor=PROVIDER,
            why=_LOST,
            facts={"why": _LOST},
        )


def _pause(conn: Connection, subscription: Subscription, now: datetime) -> None:
    """Let the periods that start after now pass unbilled; a debt doesn't end that."""
    if is_paused_from_now_on(changes.of(conn, subscription.id)):
        return
    changes.add(
        conn,
        subscription.id,
        DatedChangeKind.PAUSE,
        holds_from=now,
        asked_at=now,
        actor=PROVIDER,
        why=_LOST,
    )
    if not can_pause(subscription.status):
        return
    subscriptions.change(conn, subscription.id, status=Status.PAUSED)
    subscriptions.note(
        conn,
        subscription.id,
        at=now,
        kind=SubscriptionEventKind.PAUSED,
        actor=PROVIDER,
        before=subscription.status,
        why=_LOST,
    )


def _after_debt(
    conn: Connection, subscription: Subscription, others: bool, now: datetime
) -> Status:
    """Return the status of a subscription that goes on, with or without others past due."""
    paused = is_paused_from_now_on(changes.of(conn, subscription.id), now)
    return after_capture(subscription.status, others, paused=paused)


def _record(
    conn: Connection,
    subscription: Subscription,
    kind: DatedChangeKind,
    now: datetime,
    *,
    holds_from: datetime,
) -> None:
    changes.add(
        conn,
        subscription.id,
        kind,
        holds_from=holds_from,
        asked_at=now,
        actor=WORKER,
        why=_GIVEN_UP,
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
