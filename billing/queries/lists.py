"""What the API lists: rows by equal columns, the newest first, a page at a time.

Ids begin with the time of their creation, so their order is the order of creation.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Generic, Literal, TypeVar
from uuid import UUID

from sqlalchemy import Connection, Select, Table, select, text

from billing.store import tables
from billing.store.payments.invoices import Invoice
from billing.store.payments.payments import Payment
from billing.store.payments.refunds import Refund
from billing.store.rows import Reader, reader
from billing.store.subscriptions.customers import WITH_ACCOUNT, Customer
from billing.store.subscriptions.subscriptions import Subscription

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """A table that is listed, what its rows are read as, and the query of all of them."""

    table: Table
    read: Reader[T]
    query: Select[Any] | None = None


CUSTOMERS: Final = Listing(tables.customers, reader(Customer), WITH_ACCOUNT)
INVOICES: Final = Listing(tables.invoices, reader(Invoice))
PAYMENTS: Final = Listing(tables.payments, reader(Payment))
REFUNDS: Final = Listing(tables.refunds, reader(Refund))
SUBSCRIPTIONS: Final = Listing(tables.subscriptions, reader(Subscription))


def page(
    conn: Connection,
    listing: Listing[T],
    *,
    limit: int,
    before: UUID | None = None,
    equal: Mapping[str, Any] | None = None,
) -> list[T]:
    """Return up to `limit` rows that were created before the row `before`; None doesn't narrow."""
    columns = listing.table.c
    query = select(listing.table) if listing.query is None else listing.query
    query = query.order_by(columns.id.desc()).limit(limit)
    for name, value in (equal or {}).items():
        if value is not None:
            query = query.where(columns[name] == value)
    if before is not None:
        query = query.where(columns.id < before)
    return [listing.read(row) for row in conn.execute(query)]


@dataclass(frozen=True, slots=True)
class ListedTransaction:
    """A charge or a refund, amounts in minor units; `state` is a payment's or a refund's."""

    id: UUID
    kind: Literal["charge", "refund"]
    payment_id: UUID
    customer_id: UUID
    amount: int
    currency: str
    state: str
    created_at: datetime


_transaction = reader(ListedTransaction)

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
) -> list[ListedTransaction]:
    """Return charges and refunds together, the newest first."""
    given = {"before": before, "customer": customer_id}
    asked = {name: value for name, value in given.items() if value is not None}
    charges = {"before": "p.id < :before", "customer": "p.customer_id = :customer"}
    refunds = {"before": "r.id < :before", "customer": "p.customer_id = :customer"}
    query = _TRANSACTIONS.format(
        charges=" AND ".join(charges[name] for name in asked) or "true",
        refunds=" AND ".join(refunds[name] for name in asked) or "true",
    )
    rows = conn.execute(text(query), {**asked, "limit": limit})
    return [_transaction(row) for row in rows]
