"""What the API lists: rows by equal columns, the newest first, a page at a time.

Ids begin with the time of their creation, so their order is the order of creation.
"""

from collections.abc import Mapping
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Connection, Row, select, text

from billing.store.tables import metadata

Listed = Literal["customers", "invoices", "payments", "refunds", "subscriptions"]


def page(
    conn: Connection,
    table: Listed,
    *,
    limit: int,
    before: UUID | None = None,
    equal: Mapping[str, Any] | None = None,
) -> list[Row[Any]]:
    """Return up to `limit` rows that were created before the row `before`; None doesn't narrow."""
    found = metadata.tables[table]
    query = select(found).order_by(found.c.id.desc()).limit(limit)
    for name, value in (equal or {}).items():
        if value is not None:
            query = query.where(found.c[name] == value)
    if before is not None:
        query = query.where(found.c.id < before)
    return list(conn.execute(query))


_TRANSACTIONS = """
(SELECT p.id, 'charge' AS kind, p.id AS payment_id, p.customer_id, p.amount, p.currency, p.state,
        p.created_at
   FROM payments p
  WHERE {charges} ORDER BY p.id DESC LIMIT :limit)
 UNION ALL
(SELECT r.id, 'refund', r.payment_id, p.customer_id, r.amount, r.currency, r.state, r.created_at
   FROM refunds r JOIN payments p ON p.id = r.payment_id
  WHERE {refunds} ORDER BY r.id DESC LIMIT :limit)
 ORDER BY id DESC LIMIT :limit
"""


def transactions(
    conn: Connection, *, limit: int, before: UUID | None = None, customer_id: UUID | None = None
) -> list[Row[Any]]:
    """Return charges and refunds together, the newest first."""
    given = {"before": before, "customer": customer_id}
    asked = {name: value for name, value in given.items() if value is not None}
    charges = {"before": "p.id < :before", "customer": "p.customer_id = :customer"}
    refunds = {"before": "r.id < :before", "customer": "p.customer_id = :customer"}
    query = _TRANSACTIONS.format(
        charges=" AND ".join(charges[name] for name in asked) or "true",
        refunds=" AND ".join(refunds[name] for name in asked) or "true",
    )
    return list(conn.execute(text(query), {**asked, "limit": limit}))
