"""Ending a subscription at the instant that was decided, inside the caller's transaction.

The periods that start before that instant are opened and billed first, however late that is.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypedDict

from sqlalchemy import Connection

from billing.rules.actor import SCHEDULER, Actor
from billing.rules.subscriptions import (
    DatedChange,
    DatedChangeKind,
    EndedBy,
    Status,
    SubscriptionEventKind,
    comes_first,
    replaces,
    still_collects,
    unpaid_from,
)
from billing.store.payments import payment_steps
from billing.store.subscriptions import changes, subscriptions
from billing.store.subscriptions.subscriptions import Subscription
from billing.store.usage import closings


def is_over(subscription: Subscription) -> bool:
    """Tell whether no further period is opened: the next one would start at the end, or later."""
    return comes_first(subscription.cancels_at, subscription.renews_at)


def is_unpaid(subscription: Subscription, asked: Sequence[DatedChange]) -> bool:
    """Tell whether it is unpaid from its next period on, or from before."""
    return comes_first(unpaid_from(asked), subscription.renews_at)


def end(conn: Connection, subscription: Subscription, now: datetime) -> None:
    """End a (locked) subscription at the instant that was decided."""
    ends_at = subscription.cancels_at
    assert ends_at is not None, "its end was decided"
    ended_by = subscription.ended_by or EndedBy.PERIOD_END
    _cancel(conn, subscription, ended_by, ends_at, now)
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


def end_with_what_is_paid(
    conn: Connection,
    subscription: Subscription,
    ended_by: EndedBy,
    *,
    status: Status,
    paid_until: datetime | None,
    now: datetime,
    actor: Actor,
    why: str,
    facts: Mapping[str, object],
) -> None:
    """End a (locked) subscription now, or else with the last period that is paid.

    What was paid for is served: until then it has that `status`. An end that was decided before,
    and isn't later, stays; one that can't be taken back replaces the cause of one that can.
    """
    if paid_until is None or paid_until <= now:
        _cancel(conn, subscription, ended_by, now, now)
        kind, holds_from = DatedChangeKind.END, now
        event = SubscriptionEventKind.CANCELED
        told: dict[str, object] = {"before": subscription.status}
    else:
        subscriptions.change(conn, subscription.id, status=status)
        decided = subscription.cancels_at
        stays = decided is not None and decided <= paid_until
        if stays and not replaces(ended_by, subscription.ended_by):
            return
        paid_until = decided if decided is not None and stays else paid_until
        subscriptions.change(conn, subscription.id, cancels_at=paid_until, ended_by=ended_by)
        kind, holds_from = DatedChangeKind.CANCEL, paid_until
        event, told = SubscriptionEventKind.CANCEL_AT_PERIOD_END, {"ends_at": paid_until}
    changes.add(
        conn,
        subscription.id,
        kind,
        holds_from=holds_from,
        asked_at=now,
        actor=actor,
        why=why,
    )
    subscriptions.note(conn, subscription.id, at=now, kind=event, actor=actor, **told, **facts)


def leave_unpaid(
    conn: Connection,
    subscription: Subscription,
    now: datetime,
    actor: Actor = SCHEDULER,
    **facts: object,
) -> None:
    """Make a (locked) subscription unpaid, as was decided: what was paid for is served."""
    subscriptions.change(conn, subscription.id, status=Status.UNPAID, renews_at=None)
    subscriptions.note(
        conn,
        subscription.id,
        at=now,
        kind=SubscriptionEventKind.UNPAID,
        actor=actor,
        before=subscription.status,
        **facts,
    )


class FinalUsageDue(TypedDict):
    """From which period on the usage of a subscription that ends is billed, and when."""

    usage_from_n: int | None
    usage_due_at: datetime | None


def final_usage_due(
    conn: Connection, subscription: Subscription, ends_at: datetime, *, forgive: bool = False
) -> FinalUsageDue:
    """Return when the usage of a (locked) subscription that ends is billed; never without meters.

    Usage of a first period that was never opened is billed, too, but for what is forgiven.
    """
    from_n = subscription.usage_from_n
    if forgive:
        return {"usage_from_n": from_n, "usage_due_at": None}
    if from_n is None and subscription.next_n == 0 and closings.any_counted(conn, subscription.id):
        from_n = 0
    wait = timedelta(seconds=subscription.usage_wait_seconds)
    return {"usage_from_n": from_n, "usage_due_at": None if from_n is None else ends_at + wait}


def _cancel(
    conn: Connection,
    subscription: Subscription,
    ended_by: EndedBy,
    ends_at: datetime,
    now: datetime,
) -> None:
    """End a subscription at an instant; let each open invoice be voided that isn't owed any more.

    Its payment's next step does that: `payments.collecting.begin` makes no attempt after the end.
    """
    subscriptions.change(
        conn,
        subscription.id,
        status=Status.CANCELED,
        renews_at=None,
        canceled_at=ends_at,
        ended_by=ended_by,
        **final_usage_due(conn, subscription, ends_at),
    )
    if not still_collects(ended_by):
        payment_steps.wake(conn, subscription.id, now)
