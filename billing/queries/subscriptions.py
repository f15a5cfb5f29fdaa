"""Subscriptions for people, with their customer and their last cycles."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

from billing.errors import ErrorCode, NotFound
from billing.plans.terms import Plan
from billing.queries.paging import page
from billing.rules.invoices import InvoiceStatus
from billing.rules.payments import State
from billing.rules.subscriptions import CycleKind, CycleState, Status
from billing.store.rows import reader
from billing.store.subscriptions import items as _items
from billing.store.subscriptions import plans as _plans
from billing.store.subscriptions import subscriptions as _subscriptions
from billing.store.subscriptions.items import HeldItem
from billing.store.subscriptions.plans import dunning_json
from billing.store.subscriptions.subscriptions import Subscription

__all__ = [
    "ListedCycle",
    "ListedSubscription",
    "dunning_json",
    "find_subscription",
    "published_plans",
    "recent_cycles",
    "subscription_of",
    "subscriptions",
]


@dataclass(frozen=True, slots=True)
class ListedSubscription:
    """A subscription with the name of its customer."""

    id: UUID
    external_id: str | None
    customer_id: UUID
    customer_external_id: str | None
    customer_name: str
    plan: str
    plan_version: date
    currency: str
    quantity: int
    status: Status
    anchor_local: datetime
    zone: str
    every: str
    trial: str | None
    anchor_day: int | None
    next_n: int
    renews_at: datetime | None
    cancels_at: datetime | None
    parked_at: datetime | None
    parked_reason: str | None
    parked_error: str | None
    parked_facts: Mapping[str, Any]
    canceled_at: datetime | None
    created_at: datetime
    provider: str | None


@dataclass(frozen=True, slots=True)
class ListedCycle:
    """A cycle with its invoice and its payment, where it has them; one that is cut ends there."""

    n: int
    kind: CycleKind
    period_start: datetime
    period_end: datetime
    plan_version: date
    state: CycleState
    opened_at: datetime
    closed_at: datetime | None
    invoice_number: str | None
    total: int | None
    currency: str | None
    invoice_status: InvoiceStatus | None
    payment_id: UUID | None
    payment_state: State | None


_listed = reader(ListedSubscription)
_cycle = reader(ListedCycle)

_SUBSCRIPTIONS: Final = """
SELECT s.id, s.external_id, s.customer_id, c.external_id AS customer_external_id,
       c.name AS customer_name, s.plan, s.plan_version, s.currency, s.quantity, s.status,
       s.anchor_local, s.zone, s.every, s.trial, s.anchor_day, s.next_n, s.renews_at,
       s.cancels_at, s.parked_at, s.parked_reason, s.parked_error, s.parked_facts,
       s.canceled_at,
       s.created_at, s.provider
  FROM subscriptions s
  JOIN customers c ON c.id = s.customer_id
 WHERE {where}
 ORDER BY s.id {order} LIMIT :limit
"""
_CONDITIONS: Final = {
    "id": "s.id = :id",
    "status": "s.status = :status",
    "plan": "s.plan = :plan",
    "customer_id": "s.customer_id = :customer_id",
    "parked": "(s.parked_at IS NOT NULL) = :parked",
    "after": "s.id > :after",
    "before": "s.id < :before",
}


def subscriptions(
    conn: Connection,
    *,
    limit: int = 50,
    id: UUID | None = None,
    status: str | None = None,
    plan: str | None = None,
    customer_id: UUID | None = None,
    parked: bool | None = None,
    after: UUID | None = None,
    before: UUID | None = None,
    newest_first: bool = False,
) -> list[ListedSubscription]:
    """Return subscriptions in order of creation; None doesn't narrow."""
    return page(
        conn,
        _SUBSCRIPTIONS,
        _CONDITIONS,
        _listed,
        limit=limit,
        newest_first=newest_first,
        id=id,
        status=status,
        plan=plan,
        customer_id=customer_id,
        parked=parked,
        after=after,
        before=before,
    )


_CYCLES = text(
    """
    SELECT y.n, y.kind, y.period_start, coalesce(k.cut_at, y.period_end) AS period_end,
           y.plan_version, y.state, y.opened_at,
           y.closed_at, i.number AS invoice_number, i.total, i.currency,
           i.status AS invoice_status, p.id AS payment_id, p.state AS payment_state
      FROM cycles y
      LEFT JOIN cycle_cuts k ON k.subscription_id = y.subscription_id AND k.n = y.n
      LEFT JOIN invoices i ON i.cycle_id = y.id
      LEFT JOIN payments p ON p.invoice_id = i.id
     WHERE y.subscription_id = :subscription
     ORDER BY y.n DESC LIMIT :limit
    """
)


def recent_cycles(conn: Connection, subscription_id: UUID, limit: int) -> list[ListedCycle]:
    """Return a subscription's last cycles with their invoice and payment, newest first."""
    rows = conn.execute(_CYCLES, {"subscription": subscription_id, "limit": limit})
    return [_cycle(row) for row in rows]


def held_items(conn: Connection, subscription_id: UUID) -> Sequence[HeldItem]:
    """Return the items that a subscription holds beside its plan's single price, with add-ons."""
    return [each for each in _items.of_subscription(conn, subscription_id) if each.quantity]


def subscription_of(conn: Connection, reference: str) -> Subscription | None:
    """Return the subscription with this id or external id, as it is stored."""
    return _subscriptions.find(conn, reference)


def find_subscription(conn: Connection, reference: str) -> Subscription:
    """Return a subscription by id or external id. Raises `NotFound`."""
    found = _subscriptions.find(conn, reference)
    if found is None:
        raise NotFound(
            f"no subscription {reference!r}",
            code=ErrorCode.SUBSCRIPTION_NOT_FOUND,
            subscription=reference,
        )
    return found


def published_plans(conn: Connection) -> dict[str, Plan]:
    """Return every published plan with all its versions, by code."""
    return _plans.published(conn)
