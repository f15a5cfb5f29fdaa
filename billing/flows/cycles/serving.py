"""Opening what was served and has no cycle yet, before a subscription ends."""

from datetime import datetime

from sqlalchemy import Connection

from billing.flows.cycles import holding
from billing.flows.cycles.deciding import decide
from billing.flows.cycles.ending import is_over, is_unpaid
from billing.flows.cycles.opening import hold_catalog, write
from billing.flows.policy import Policy
from billing.rules.subscriptions import CycleKind
from billing.store.subscriptions import changes, plans, subscriptions
from billing.store.subscriptions.subscriptions import Subscription


def open_served(conn: Connection, subscription: Subscription, now: datetime, policy: Policy) -> int:
    """Open each period of a (locked) subscription that is wholly over; return how many are billed.

    Missed periods are billed or skipped as the plan says. Raises `CannotOpen`, also where that is
    left to an operator.
    """
    if not has_served(subscription, now):
        return 0
    hold_catalog(conn, now, policy)
    catalog, asked = plans.published(conn), changes.of(conn, subscription.id)
    billed = 0
    while has_served(subscription, now) and not is_unpaid(subscription, asked):
        held = holding.of(conn, subscription, now, policy)
        opening = decide(subscription, catalog, now, policy, asked, held=held)
        write(conn, [opening], now)
        billed += opening.kind is CycleKind.REGULAR
        found = subscriptions.lock(conn, subscription.id)
        assert found is not None, "subscriptions are never deleted"
        subscription = found
    return billed


def has_served(subscription: Subscription, now: datetime) -> bool:
    """Tell whether the next period to be opened is wholly over."""
    at = subscription.renews_at
    if at is None or at > now or is_over(subscription):
        return False
    return subscription.next_period.period.end <= now
