"""Canceling, pausing and resuming a subscription.

Locks are taken payments first, then their subscription, as everywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.crash_points import CrashPoint, marked
from billing.errors import BadInput, Conflict, ErrorCode
from billing.flows import fence
from billing.flows.cycles.deciding import CannotOpen
from billing.flows.cycles.ending import final_usage_due
from billing.flows.cycles.serving import has_served, open_served
from billing.flows.cycles.skipping import skip_missed
from billing.flows.payments.write_offs import void
from billing.flows.policy import Policy
from billing.flows.subscriptions import dates, unserved
from billing.flows.subscriptions.change_invoices import (
    QuotedNote,
    issue_notes,
    lock_payments,
)
from billing.flows.subscriptions.dates import TICK
from billing.queries.payments import payments as listed_payments
from billing.queries.subscriptions import find_subscription
from billing.rules.actor import Actor
from billing.rules.credit_notes import Destination
from billing.rules.payments import AttemptKind, State
from billing.rules.subscriptions import (
    DatedChangeKind,
    EndedBy,
    Status,
    SubscriptionEventKind,
    after_resume,
    can_cancel,
    can_pause,
    can_resume,
)
from billing.store.payments import debts, payments
from billing.store.subscriptions import changes, subscriptions
from billing.store.subscriptions.parking import NOT_PARKED
from billing.store.subscriptions.subscriptions import Subscription
from billing.store.transactions import Transactions


def locked(conn: Connection, subscription_id: UUID) -> Subscription:
    """Lock a subscription that is known to exist."""
    found = subscriptions.lock(conn, subscription_id)
    assert found is not None, "subscriptions are never deleted"
    return found


def cancel(
    engine: Transactions,
    reference: str,
    *,
    at_period_end: bool,
    now: datetime,
    actor: Actor,
    why: str,
    forgive: bool = False,
    policy: Policy | None = None,
    on: datetime | None = None,
    gives_back: Destination | None = None,
) -> Subscription:
    """Cancel a subscription now, or when the period that contains now ends; return it as it was.

    With `on`, civil time in its zone, it is the period in which that lies; where a period starts
    just then, it isn't begun any more.

    That period is the schedule's, whether its cycle is opened yet or not: what has begun is served
    and billed. Before the first period has begun, the end is its start, and nothing is billed.
    When canceled now, an invoice that isn't collected yet is voided. Where an attempt for the
    invoice is open, that attempt is the last one: the invoice is paid by it, or voided. Periods
    that were served and never opened are opened and collected, unless `forgive`; nothing after
    them is. `gives_back` is where goes what was paid for the days that are left of the running
    period; it stays ours when left out. Raises `NotFound`, `Conflict`, also where the plan
    leaves missed periods to an operator; `BadInput` to forgive, or to give back, with a
    period's end; `NotRefundable`; `Unavailable` where periods would be opened while the account
    is recovering.
    """
    _refuse_only_now(at_period_end, forgive, gives_back)
    with marked(CrashPoint.SUBSCRIPTION_CANCELED), engine.begin() as conn:
        found = find_subscription(conn, reference)
        undecided = lock_payments(conn, found.id)
        subscription = locked(conn, found.id)
        if not can_cancel(subscription.status):
            raise Conflict(f"subscription {reference} is canceled already")
        ends = _end_asked(subscription, now, at_period_end, on)
        if ends is not None:
            refuse_what_ended(subscription, now)
            subscriptions.change(
                conn,
                subscription.id,
                cancels_at=ends,
                ended_by=EndedBy.PERIOD_END,
            )
            asked = _Asked(now, actor, why)
            _record(conn, subscription, DatedChangeKind.CANCEL, asked, holds_from=ends)
            kind = SubscriptionEventKind.CANCEL_AT_PERIOD_END
            subscriptions.note(
                conn, subscription.id, at=now, kind=kind, actor=actor, ends_at=ends, why=why
            )
            return subscription
        if gives_back is not None:
            policy = policy or Policy()
            notes = unserved.quoted(conn, subscription, undecided, gives_back, policy, now)
            issue_notes(conn, notes, f"cancellation: {why}", actor, now)
        unserved.earn(conn, subscription, now)
        if not forgive:
            _open_served(conn, subscription, now, policy or Policy())
        for payment in undecided:
            if payment.open_attempt_n is None:
                void(conn, payment, now=now, actor=actor, why=why, subscription_canceled=True)
            else:
                payments.change(conn, payment.id, now, next_attempt_kind=AttemptKind.GIVE_UP)
        subscriptions.change(
            conn,
            subscription.id,
            status=Status.CANCELED,
            renews_at=None,
            canceled_at=now,
            ended_by=EndedBy.OPERATOR,
            **final_usage_due(conn, locked(conn, found.id), now, forgive=forgive),
            **NOT_PARKED,
        )
        _record(conn, subscription, DatedChangeKind.END, _Asked(now, actor, why), holds_from=now)
        told = {"forgiven": True} if forgive else {}
        _note(conn, subscription, now, SubscriptionEventKind.CANCELED, actor, why, **told)
        return subscription


def _refuse_only_now(at_period_end: bool, forgive: bool, gives_back: Destination | None) -> None:
    """Refuse what a cancellation does only when it is made now. Raises: BadInput."""
    if forgive and at_period_end:
        raise BadInput(
            "what was served is billed at the period's end: it can be forgiven only now",
            where="forgive",
        )
    if gives_back is not None and at_period_end:
        raise BadInput(
            "nothing is left of a period at its end: what was paid is given back only now",
            where="credit_note",
        )


def _open_served(
    conn: Connection, subscription: Subscription, now: datetime, policy: Policy
) -> None:
    if has_served(subscription, now):
        fence.refuse_cycles_of(conn, subscription.customer_id, subscription.provider)
    try:
        open_served(conn, subscription, now, policy)
    except CannotOpen as error:
        raise Conflict(
            f"period {subscription.next_n} of subscription {subscription.id} was served and can't"
            f" be billed: {error}",
            code=ErrorCode.SERVED_NOT_BILLED,
            subscription_id=subscription.id,
            reason=error.reason,
        ) from error


@dataclass(frozen=True, slots=True)
class CancelPlan:
    """What canceling a subscription will do: end it at `ends_at`, or now and void so many invoices.

    `status` is its present one. `served` tells that periods were served that have no cycle yet.
    `notes` give back what was paid for the days that are left.
    """

    subscription_id: UUID
    status: Status
    ends_at: datetime | None
    voided: int
    served: bool = False
    notes: Sequence[QuotedNote] = ()


def plan_cancel(
    conn: Connection,
    subscription_id: UUID,
    *,
    at_period_end: bool,
    now: datetime,
    on: datetime | None = None,
    gives_back: Destination | None = None,
    policy: Policy | None = None,
) -> CancelPlan:
    """Return what canceling will do, and hold its locks. Raises as canceling itself would."""
    _refuse_only_now(at_period_end, False, gives_back)
    undecided = lock_payments(conn, subscription_id)
    subscription = locked(conn, subscription_id)
    if not can_cancel(subscription.status):
        raise Conflict(f"subscription {subscription_id} is canceled already")
    ends = _end_asked(subscription, now, at_period_end, on)
    if ends is not None:
        refuse_what_ended(subscription, now)
        return CancelPlan(subscription.id, subscription.status, ends, 0)
    collecting = listed_payments(conn, subscription_id=subscription.id, state=str(State.CREATED))
    served = has_served(subscription, now)
    notes: Sequence[QuotedNote] = ()
    if gives_back is not None:
        policy = policy or Policy()
        notes = unserved.quoted(conn, subscription, undecided, gives_back, policy, now)
    return CancelPlan(subscription.id, subscription.status, None, len(collecting), served, notes)


def _end_asked(
    subscription: Subscription, now: datetime, at_period_end: bool, on: datetime | None
) -> datetime | None:
    """Return when it is to end with a period; None where it ends at once. Raises `BadInput`."""
    if on is None or not at_period_end:
        return ends_at(subscription, now) if at_period_end else None
    return dates.end_of_period(subscription, dates.later(subscription, on, now), now)


def ends_at(subscription: Subscription, now: datetime) -> datetime | None:
    """Return when the period that contains now ends by the schedule.

    None where no period runs: the subscription is unpaid. Before the first period, its start.
    """
    if subscription.renews_at is None or subscription.renews_at > now:
        return subscription.renews_at
    scheduled = subscription.next_period
    while scheduled.period.end <= now:
        scheduled = subscription.timetable.nth_from(scheduled.n + 1, scheduled.period.end)
    return scheduled.period.end


def _starts_later(subscription: Subscription, now: datetime) -> bool:
    at = subscription.renews_at
    return subscription.next_n == 0 and at is not None and at > now


def refuse_what_ended(subscription: Subscription, now: datetime) -> None:
    """Raise `Conflict` where the subscription is canceled, or was to end by now."""
    if subscription.has_ended(now):
        ended_at = subscription.canceled_at or subscription.cancels_at
        raise Conflict(
            f"subscription {subscription.id} ended at {ended_at:%Y-%m-%d %H:%M} UTC",
            code=ErrorCode.SUBSCRIPTION_ENDED,
            subscription_id=subscription.id,
        )


def pause(
    engine: Transactions,
    reference: str,
    *,
    now: datetime,
    actor: Actor,
    why: str,
    periods: int | None = None,
    until: datetime | None = None,
) -> Subscription:
    """Pause a subscription: the periods that start after now pass unbilled.

    So many `periods`, or those that start before `until` (civil time in its zone); else all until
    it is resumed. Raises `NotFound`, `Conflict`, `BadInput`.
    """
    with marked(CrashPoint.SUBSCRIPTION_PAUSED), engine.begin() as conn:
        subscription = locked(conn, find_subscription(conn, reference).id)
        if not can_pause(subscription.status):
            raise Conflict(
                f"a subscription that is {subscription.status} can't be paused",
                code=ErrorCode.SUBSCRIPTION_NOT_PAUSABLE,
                subscription_id=subscription.id,
            )
        refuse_what_ended(subscription, now)
        over = dates.pause_over(subscription, now, periods, until)
        asked = _Asked(now, actor, why)
        subscriptions.change(conn, subscription.id, status=Status.PAUSED)
        _record(conn, subscription, DatedChangeKind.PAUSE, asked, holds_from=now)
        told = {}
        if over is not None:
            _record(conn, subscription, DatedChangeKind.RESUME, asked, holds_from=over - TICK)
            told = {"until": over}
        _note(conn, subscription, now, SubscriptionEventKind.PAUSED, actor, why, **told)
        return subscription


def resume(
    engine: Transactions,
    reference: str,
    *,
    now: datetime,
    actor: Actor,
    why: str,
    on: datetime | None = None,
) -> Subscription:
    """Resume a paused subscription: the periods that start after now are billed again.

    With `on`, civil time in its zone, those that start then or later; it stays paused until then.
    An unpaid subscription goes on too: its unserved periods are skipped and the current one is
    billed; the debt stays written off. Resuming also withdraws a cancellation at the period's end.
    Raises `NotFound`, `Conflict`.
    """
    with marked(CrashPoint.SUBSCRIPTION_RESUMED), engine.begin() as conn:
        subscription = locked(conn, find_subscription(conn, reference).id)
        refuse_what_ended(subscription, now)
        asked = _Asked(now, actor, why)
        if on is not None:
            _resume_later(conn, subscription, on, asked)
            return subscription
        if subscription.cancels_at is not None:
            subscriptions.change(conn, subscription.id, cancels_at=None, ended_by=None)
            _record(conn, subscription, DatedChangeKind.KEEP, asked, holds_from=now)
            _note(conn, subscription, now, SubscriptionEventKind.KEPT, actor, why)
            if not can_resume(subscription.status):
                return subscription
        elif not can_resume(subscription.status):
            raise Conflict(
                f"a subscription that is {subscription.status} is neither paused nor unpaid"
            )
        _record(conn, subscription, DatedChangeKind.RESUME, asked, holds_from=now)
        if subscription.status is Status.UNPAID:
            skipped = skip_missed(conn, subscription, now)
            kind = SubscriptionEventKind.RESUMED
            _note(conn, subscription, now, kind, actor, why, after=Status.ACTIVE, skipped=skipped)
            return subscription
        running = subscription.timetable.nth(max(subscription.next_n - 1, 0))
        in_trial = running.kind == "trial" and now < running.period.end
        past_due = debts.any_past_due(conn, subscription.id)
        status = after_resume(in_trial, past_due)
        if _starts_later(subscription, now):
            status = Status.SCHEDULED
        subscriptions.change(conn, subscription.id, status=status)
        _note(conn, subscription, now, SubscriptionEventKind.RESUMED, actor, why, after=status)
        return subscription


def _resume_later(
    conn: Connection, subscription: Subscription, on: datetime, asked: "_Asked"
) -> None:
    """Let a paused subscription go on with the first period that starts at an instant or later."""
    if subscription.status is not Status.PAUSED:
        raise Conflict(
            f"a subscription that is {subscription.status} isn't paused: it can't resume later"
        )
    at = dates.later(subscription, on, asked.at)
    _record(conn, subscription, DatedChangeKind.RESUME, asked, holds_from=at - TICK)
    subscriptions.note(
        conn,
        subscription.id,
        at=asked.at,
        kind=SubscriptionEventKind.RESUMES_LATER,
        actor=asked.actor,
        at_instant=at,
        why=asked.why,
    )


@dataclass(frozen=True, slots=True)
class _Asked:
    """When a change was asked for, by whom, and why."""

    at: datetime
    actor: Actor
    why: str


def _record(
    conn: Connection,
    subscription: Subscription,
    kind: DatedChangeKind,
    asked: _Asked,
    *,
    holds_from: datetime,
) -> None:
    changes.add(
        conn,
        subscription.id,
        kind,
        holds_from=holds_from,
        asked_at=asked.at,
        actor=asked.actor,
        why=asked.why,
    )


def _note(
    conn: Connection,
    subscription: Subscription,
    now: datetime,
    kind: SubscriptionEventKind,
    actor: Actor,
    why: str,
    **facts: object,
) -> None:
    """Note a change with the status before it and the reason that was given."""
    before = subscription.status
    subscriptions.note(
        conn, subscription.id, at=now, kind=kind, actor=actor, before=before, why=why, **facts
    )
