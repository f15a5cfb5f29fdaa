"""Re-anchoring: what is to come follows the rules of a zone as they are today.

A period starts when it was announced to, so nothing moves where a period was opened before. One
that is the first may still start at another instant. That the rules changed is recorded, so that
the proof compares the periods of before with nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.crash_points import CrashPoint, marked
from billing.flows.subscriptions.lifecycle import locked
from billing.queries.subscriptions import find_subscription
from billing.rules.actor import Actor
from billing.rules.rule_changes import compared
from billing.rules.subscriptions import DatedChangeKind, SubscriptionEventKind
from billing.store.subscriptions import changes, cycles, segments, subscriptions
from billing.store.subscriptions.subscriptions import Subscription
from billing.store.transactions import Transactions

_PAGE = 500


@dataclass(frozen=True, slots=True)
class Reanchored:
    """A subscription with a boundary at another instant than its zone has today.

    It is the one where its next period was announced to start, or else of one that was opened.
    `moved`: the next one starts `by_schedule`, as it is the first; else what was announced stays.
    """

    subscription_id: UUID
    zone: str
    announced: datetime
    by_schedule: datetime
    moved: bool


def reanchor(
    engine: Transactions,
    *,
    reference: str | None,
    zone: str | None,
    now: datetime,
    actor: Actor,
    why: str,
    dry_run: bool = False,
) -> list[Reanchored]:
    """Re-anchor one subscription, those of a zone, or all; return those that differ from today's.

    Each is a transaction of its own. Raises `NotFound`.
    """
    done = []
    for subscription_id in _chosen(engine, reference, zone):
        with marked(CrashPoint.SUBSCRIPTION_REANCHORED), engine.begin() as conn:
            subscription = locked(conn, subscription_id)
            found = _difference(conn, subscription, now)
            if found is None:
                continue
            done.append(found.shown)
            if not dry_run:
                _apply(conn, subscription, found, now, actor, why)
    return done


def _chosen(engine: Transactions, reference: str | None, zone: str | None) -> Iterator[UUID]:
    if reference is not None:
        with engine.begin() as conn:
            yield find_subscription(conn, reference).id
        return
    after: UUID | None = None
    while True:
        with engine.begin() as conn:
            page = subscriptions.page(conn, limit=_PAGE, after=after)
        for subscription in page:
            if zone in (None, subscription.zone):
                yield subscription.id
        if len(page) < _PAGE:
            return
        after = page[-1].id


@dataclass(frozen=True, slots=True)
class _Difference:
    """What is shown of a subscription, and the instant until which other rules are recorded."""

    shown: Reanchored
    holds_from: datetime


def _difference(conn: Connection, subscription: Subscription, now: datetime) -> _Difference | None:
    recorded = [
        each.holds_from
        for each in changes.of(conn, subscription.id)
        if each.kind is DatedChangeKind.REANCHOR
    ]
    announced = subscription.renews_at
    if announced is not None and announced not in recorded:
        by_schedule = subscription.segment.nth(subscription.next_n).period.start
        if by_schedule != announced:
            moved = subscription.next_n == 0 and announced > now and by_schedule > now
            shown = Reanchored(subscription.id, subscription.zone, announced, by_schedule, moved)
            return _Difference(shown, by_schedule if moved else announced)
    return _of_what_was_opened(conn, subscription, max(recorded, default=None))


def _of_what_was_opened(
    conn: Connection, subscription: Subscription, recorded: datetime | None
) -> _Difference | None:
    """Return the last period that was opened by other rules; None where something else explains it.

    So it is after the boundary that the change moved has passed, and with what ended before that.
    """
    opened = (
        (cycle.n, cycle.period_start, cycle.period_end)
        for cycle in cycles.of_subscription(conn, subscription.id)
    )
    timetable = segments.timetable(conn, subscription)
    differing = [each for each in compared(timetable, opened, recorded) if each.differs]
    if not differing or not all(each.is_explained for each in differing):
        return None
    last = differing[-1]
    boundary, today = last.opened.end, last.due.period.end
    if boundary == today:
        boundary, today = last.opened.start, last.due.period.start
    shown = Reanchored(subscription.id, subscription.zone, boundary, today, moved=False)
    return _Difference(shown, last.opened.end)


def _apply(
    conn: Connection,
    subscription: Subscription,
    found: _Difference,
    now: datetime,
    actor: Actor,
    why: str,
) -> None:
    shown = found.shown
    if shown.moved:
        subscriptions.change(conn, subscription.id, renews_at=shown.by_schedule)
        if subscription.cancels_at == shown.announced:
            subscriptions.change(conn, subscription.id, cancels_at=shown.by_schedule)
    changes.add(
        conn,
        subscription.id,
        DatedChangeKind.REANCHOR,
        holds_from=found.holds_from,
        asked_at=now,
        actor=actor,
        why=why,
    )
    subscriptions.note(
        conn,
        subscription.id,
        at=now,
        kind=SubscriptionEventKind.REANCHORED,
        actor=actor,
        announced=shown.announced,
        by_schedule=shown.by_schedule,
        moved=shown.moved,
        why=why,
    )
