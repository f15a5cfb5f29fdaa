"""Re-anchoring: what is to come follows the rules of a zone as they are today.

A period starts when it was announced to, so nothing moves where a period was opened before. One
that is the first may still start at another instant. That the rules changed is recorded, so that
the proof compares the periods of before with nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.crash_points import CrashPoint, marked
from billing.flows.subscriptions.lifecycle import locked
from billing.queries.subscriptions import find_subscription
from billing.rules.actor import Actor
from billing.rules.periods import nth
from billing.rules.subscriptions import DatedChange, DatedChangeKind, SubscriptionEventKind
from billing.store.subscriptions import changes, subscriptions
from billing.store.subscriptions.subscriptions import Subscription
from billing.store.transactions import Transactions

_PAGE = 500


@dataclass(frozen=True, slots=True)
class Reanchored:
    """A subscription whose next period was announced for another instant than its zone has today.

    `moved`: it starts `by_schedule`, as it is the first; else it starts when it was announced to.
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
            found = _difference(subscription, changes.of(conn, subscription.id), now)
            if found is None:
                continue
            done.append(found)
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


def _difference(
    subscription: Subscription, asked: Sequence[DatedChange], now: datetime
) -> Reanchored | None:
    announced = subscription.renews_at
    if announced is None:
        return None
    by_schedule = nth(subscription.schedule, subscription.next_n).period.start
    is_recorded = any(
        each.kind is DatedChangeKind.REANCHOR and each.holds_from == announced for each in asked
    )
    if by_schedule == announced or is_recorded:
        return None
    moved = subscription.next_n == 0 and announced > now and by_schedule > now
    return Reanchored(subscription.id, subscription.zone, announced, by_schedule, moved)


def _apply(
    conn: Connection,
    subscription: Subscription,
    found: Reanchored,
    now: datetime,
    actor: Actor,
    why: str,
) -> None:
    holds_from = found.announced
    if found.moved:
        holds_from = found.by_schedule
        subscriptions.change(conn, subscription.id, renews_at=found.by_schedule)
        if subscription.cancels_at == found.announced:
            subscriptions.change(conn, subscription.id, cancels_at=found.by_schedule)
    changes.add(
        conn,
        subscription.id,
        DatedChangeKind.REANCHOR,
        holds_from=holds_from,
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
        announced=found.announced,
        by_schedule=found.by_schedule,
        moved=found.moved,
        why=why,
    )
