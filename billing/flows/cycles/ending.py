"""Ending a subscription at the instant that was decided, inside the caller's transaction.

The periods that start before that instant are opened and billed first, however late that is.
"""

from datetime import datetime

from sqlalchemy import Connection

from billing.rules.actor import SCHEDULER
from billing.rules.subscriptions import ChangeKind, Status, SubscriptionEventKind
from billing.store.subscriptions import changes, subscriptions
from billing.store.subscriptions.subscriptions import Subscription


def is_over(subscription: Subscription) -> bool:
    """Tell whether no further period is opened: the next one would start at the end, or later."""
    ends_at, next_start = subscription.cancels_at, subscription.renews_at
    return ends_at is not None and next_start is not None and ends_at <= next_start


def end(conn: Connection, subscription: Subscription, now: datetime) -> None:
    """End a (locked) subscription at the instant that was decided."""
    ends_at = subscription.cancels_at
    assert ends_at is not None, "its end was decided"
    subscriptions.change(
        conn, subscription.id, status=Status.CANCELED, renews_at=None, canceled_at=ends_at
    )
    changes.add(
        conn,
        subscription.id,
        ChangeKind.END,
        holds_from=ends_at,
        asked_at=now,
        actor=SCHEDULER,
        why="its last period is over",
    )
    subscriptions.note(
        conn,
        subscription.id,
        at=now,
        kind=SubscriptionEventKind.CANCELED,
        actor=SCHEDULER,
        before=subscription.status,
    )
