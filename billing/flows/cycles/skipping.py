"""Skipping periods that will never be billed: each is opened as a cycle without an invoice."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from billing.flows.cycles import held_terms
from billing.ids import derived_id
from billing.rules.actor import WORKER
from billing.rules.item_changes import held_at_start
from billing.rules.periods import ScheduledPeriod
from billing.rules.segments import Segment
from billing.rules.subscriptions import (
    CycleKind,
    DatedChange,
    DatedChangeKind,
    Status,
    cycle_kind,
    is_paused_from_now_on,
    unpaid_from,
)
from billing.store.subscriptions import changes, cycles, item_changes, segments, subscriptions
from billing.store.subscriptions.cycles import NewCycle
from billing.store.subscriptions.subscriptions import Subscription


def skip_missed(
    conn: Connection, subscription: Subscription, now: datetime, *, begun: bool = False
) -> int:
    """Open each period of a (locked) subscription that is wholly over, unbilled.

    A period that would have been billed becomes a skipped cycle. The period that contains `now`, or
    that a requested end comes before, is then the next; where all that have `begun` are skipped,
    the one after it. Returns the number of skipped cycles.
    """
    asked = changes.of(conn, subscription.id)
    items_asked = item_changes.of(conn, subscription.id)
    rows: list[NewCycle] = []
    scheduled = _first(conn, subscription)
    while _has_passed(scheduled, now, begun) and _is_served(subscription, scheduled):
        kind = cycle_kind(asked, scheduled.period.start, scheduled.kind)
        terms = held_at_start(items_asked, scheduled.period.start)
        if terms is not None:
            subscription = held_terms.hold(conn, subscription, terms)
        rows.append(
            {
                "id": derived_id("cycle", subscription.id, scheduled.n, scheduled.period.start),
                "subscription_id": subscription.id,
                "customer_id": subscription.customer_id,
                "n": scheduled.n,
                "kind": CycleKind.SKIPPED if kind is CycleKind.REGULAR else kind,
                "period_start": scheduled.period.start,
                "period_end": scheduled.period.end,
                "plan": subscription.plan,
                "plan_version": subscription.plan_version,
                "opened_at": now,
                "after_cut": False,
            }
        )
        scheduled = subscription.timetable.nth_from(scheduled.n + 1, scheduled.period.end)
    cycles.add(conn, rows)
    _begin_segments(conn, subscription, scheduled.n)
    # One statement sets both: a check ties `renews_at` to the status.
    status = subscription.status
    if status is Status.UNPAID:
        _is_paid(conn, subscription, asked, now)
        status = Status.PAUSED if is_paused_from_now_on(asked, now) else Status.ACTIVE
    subscriptions.change(
        conn,
        subscription.id,
        status=status,
        next_n=scheduled.n,
        renews_at=scheduled.period.start,
    )
    return sum(row["kind"] is CycleKind.SKIPPED for row in rows)


def _begin_segments(conn: Connection, subscription: Subscription, next_n: int) -> None:
    """Let the segments begin whose periods were opened, all that come before number `next_n`."""
    known = subscription.timetable.segments[1:]
    begun: list[Segment] = [segment for segment in known if segment.from_n < next_n]
    if begun:
        segments.begin(conn, subscription, begun, known[len(begun) :])


def _is_paid(
    conn: Connection, subscription: Subscription, asked: Sequence[DatedChange], now: datetime
) -> None:
    """Record that a subscription isn't unpaid any more, where that had an instant."""
    if unpaid_from(asked) is not None:
        changes.add(
            conn,
            subscription.id,
            DatedChangeKind.PAID,
            holds_from=now,
            asked_at=now,
            actor=WORKER,
            why="it goes on",
        )


def _first(conn: Connection, subscription: Subscription) -> ScheduledPeriod:
    """Return the period after the last one that has a cycle; an unpaid one has none scheduled."""
    if subscription.renews_at is not None:
        return subscription.next_period
    last = cycles.last_end(conn, subscription.id)
    if last is None:
        return subscription.timetable.nth(subscription.next_n)
    return subscription.timetable.nth_from(subscription.next_n, last)


def _has_passed(scheduled: ScheduledPeriod, now: datetime, begun: bool) -> bool:
    return scheduled.period.start <= now if begun else scheduled.period.end <= now


def _is_served(subscription: Subscription, scheduled: ScheduledPeriod) -> bool:
    ends_at = subscription.cancels_at
    return ends_at is None or scheduled.period.start < ends_at
