"""Skipping periods that will never be billed: each is opened as a cycle of kind `skipped`."""

from datetime import datetime

from sqlalchemy import Connection

from billing.ids import derived_id
from billing.rules.periods import nth
from billing.rules.subscriptions import CycleKind, Status
from billing.store.subscriptions import cycles, subscriptions
from billing.store.subscriptions.cycles import NewCycle
from billing.store.subscriptions.subscriptions import Subscription


def skip_missed(conn: Connection, subscription: Subscription, now: datetime) -> int:
    """Open each period of a (locked) subscription that is wholly over as a skipped cycle.

    The period that contains `now` is then the next to be opened and billed. Returns the number of
    skipped cycles.
    """
    schedule, n = subscription.schedule, subscription.next_n
    rows: list[NewCycle] = []
    scheduled = nth(schedule, n)
    while scheduled.period.end <= now:
        rows.append(
            {
                "id": derived_id("cycle", subscription.id, scheduled.n, scheduled.period.start),
                "subscription_id": subscription.id,
                "customer_id": subscription.customer_id,
                "n": scheduled.n,
                "kind": CycleKind.SKIPPED,
                "period_start": scheduled.period.start,
                "period_end": scheduled.period.end,
                "plan": subscription.plan,
                "plan_version": subscription.plan_version,
                "opened_at": now,
            }
        )
        scheduled = nth(schedule, scheduled.n + 1)
    cycles.add(conn, rows)
    # One statement sets both: a check ties `renews_at` to the status.
    waits = subscription.status is Status.UNPAID
    status = Status.ACTIVE if waits else subscription.status
    subscriptions.change(
        conn,
        subscription.id,
        status=status,
        next_n=scheduled.n,
        renews_at=scheduled.period.start,
    )
    return len(rows)
