"""Ending a subscription at the instant that was decided, inside the caller's transaction.

The periods that start before that instant are opened and billed first, however late that is.
"""

from datetime import datetime

from sqlalchemy import Connection

from billing.rules.actor import SCHEDULER
from billing.rules.subscriptions import (
    DatedChangeKind,
    EndedBy,
    Status,
    SubscriptionEventKind,
    comes_first,
    still_collects,
)
from billing.store.payments import payment_steps
from billing.store.subscriptions import changes, subscriptions
from billing.store.subscriptions.subscriptions import Subscription


def is_over(subscription: Subscription) -> bool:
    """Tell whether no further period is opened: the next one would start at the end, or later."""
    return comes_first(subscription.cancels_at, subscription.renews_at)


def end(conn: Connection, subscription: Subscription, now: datetime) -> None:
    """End a (locked) subscription at the instant that was decided."""
    ends_at = subscription.cancels_at
    assert ends_at is not None, "its end was decided"
    ended_by = subscription.ended_by or EndedBy.PERIOD_END
    subscriptions.change(
        conn,
        subscription.id,
        status=Status.CANCELED,
        renews_at=None,
        canceled_at=ends_at,
        ended_by=ended_by,
    )
    stop_collecting(conn, subscription, ended_by, now)
    changes.add(
        conn,
        subscription.id,
        DatedChangeKind.END,
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


def stop_collecting(
    conn: Connection, subscription: Subscription, ended_by: EndedBy, now: datetime
) -> None:
    """Let each open invoice of a subscription that ended be voided, where it isn't owed any more.

    Its payment's next step does that: `payments.collecting.begin` makes no attempt after the end.
    """
    if not still_collects(ended_by):
        payment_steps.wake(conn, subscription.id, now)
