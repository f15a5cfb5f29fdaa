"""Redeemed coupons as invoices use them: which hold for subscriptions, and their use so far."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

from billing.store.arrays import literal
from billing.store.rows import reader


@dataclass(frozen=True, slots=True)
class UsedRedemption:
    """A redemption and its use so far, in minor units by currency; void invoices don't count.

    The invoice of a change has the discounts of its period's and isn't counted beside that.

    Without a subscription it holds for all of the customer's.
    """

    id: UUID
    coupon: str
    customer_id: UUID
    subscription_id: UUID | None
    at: datetime
    invoices: int
    taken: Mapping[str, int]


_of = reader(UsedRedemption)

# What holds for several subscriptions is used by one invoice at a time.
_LOCK = text(
    """
    SELECT pg_advisory_xact_lock(hashtextextended('coupons ' || c.customer_id, 0))
      FROM (SELECT DISTINCT customer_id FROM redemptions
             WHERE customer_id = ANY(CAST(:customers AS uuid[])) AND subscription_id IS NULL
             ORDER BY customer_id) c
    """
)
_USED = text(
    """
    SELECT r.id, r.coupon, r.customer_id, r.subscription_id, r.at,
           coalesce(u.invoices, 0) AS invoices, coalesce(u.taken, '{}') AS taken
      FROM (SELECT * FROM redemptions
             WHERE subscription_id = ANY(CAST(:subscriptions AS uuid[]))
             UNION ALL
            SELECT * FROM redemptions
             WHERE customer_id = ANY(CAST(:customers AS uuid[])) AND subscription_id IS NULL) r
      LEFT JOIN LATERAL (
           SELECT sum(c.invoices)::int AS invoices, jsonb_object_agg(c.currency, c.taken) AS taken
             FROM (SELECT i.currency, count(*) FILTER (WHERE i.kind <> 'change') AS invoices,
                          sum(d.amount)::bigint AS taken
                     FROM invoice_discounts d JOIN invoices i ON i.id = d.invoice_id
                    WHERE d.redemption_id = r.id AND i.status <> 'void'
                    GROUP BY i.currency) c) u ON true
     ORDER BY r.at, r.id
    """
)


def lock_used(
    conn: Connection, subscriptions: Sequence[UUID], customers: Sequence[UUID]
) -> Sequence[UsedRedemption]:
    """Return what was redeemed for (locked) subscriptions or for all of their customers.

    What holds for all of a customer is locked until the transaction ends.
    """
    found = used(conn, subscriptions, customers)
    if all(each.subscription_id is not None for each in found):
        return found
    conn.execute(_LOCK, {"customers": literal(customers)})
    return used(conn, subscriptions, customers)  # as whoever had the lock left it


def used(
    conn: Connection, subscriptions: Sequence[UUID], customers: Sequence[UUID]
) -> Sequence[UsedRedemption]:
    """Return what was redeemed for subscriptions, and for all of customers, oldest first."""
    values = {"subscriptions": literal(subscriptions), "customers": literal(customers)}
    return [_of(row) for row in conn.execute(_USED, values)]
