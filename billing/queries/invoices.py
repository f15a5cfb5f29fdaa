"""Invoices for people, with customer, period and payment."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from billing.pricing import InvoiceKind
from billing.queries.paging import page
from billing.rules.invoices import InvoiceStatus
from billing.rules.payments import State
from billing.store.payments.invoices import InvoiceLine, lines
from billing.store.payments.invoices import find as invoice
from billing.store.rows import reader

__all__ = ["InvoiceLine", "ListedInvoice", "invoice", "invoices", "lines"]


@dataclass(frozen=True, slots=True)
class ListedInvoice:
    """An invoice with the names of its customer and subscription, and its payment if it has one."""

    id: UUID
    number: str
    kind: InvoiceKind
    subscription_id: UUID | None
    subscription_external_id: str | None
    customer_id: UUID
    customer_external_id: str | None
    customer_name: str
    cycle_n: int | None
    period_start: datetime | None
    period_end: datetime | None
    currency: str
    discount: int
    net: int
    tax: int
    total: int
    credit: int
    due: int
    status: InvoiceStatus
    issued_at: datetime
    resolved_at: datetime | None
    payment_id: UUID | None
    payment_state: State | None


_listed = reader(ListedInvoice)

_INVOICES: Final = """
SELECT i.id, i.number, i.kind, i.subscription_id, s.external_id AS subscription_external_id,
       i.customer_id, c.external_id AS customer_external_id, c.name AS customer_name,
       y.n AS cycle_n, y.period_start, coalesce(k.cut_at, y.period_end) AS period_end,
       i.currency, i.discount, i.net, i.tax,
       i.total, i.credit, i.due,
       i.status, i.issued_at, i.resolved_at, p.id AS payment_id, p.state AS payment_state
  FROM invoices i
  LEFT JOIN cycles y ON y.id = i.cycle_id
  LEFT JOIN cycle_cuts k ON k.subscription_id = y.subscription_id AND k.n = y.n
  JOIN customers c ON c.id = i.customer_id
  LEFT JOIN subscriptions s ON s.id = i.subscription_id
  LEFT JOIN payments p ON p.invoice_id = i.id
 WHERE {where}
 ORDER BY i.id {order} LIMIT :limit
"""
_CONDITIONS: Final = {
    "id": "i.id = :id",
    "status": "i.status = :status",
    "subscription_id": "i.subscription_id = :subscription_id",
    "customer_id": "i.customer_id = :customer_id",
    "after": "i.id > :after",
    "before": "i.id < :before",
}


def invoices(
    conn: Connection,
    *,
    limit: int = 50,
    id: UUID | None = None,
    status: str | None = None,
    subscription_id: UUID | None = None,
    customer_id: UUID | None = None,
    after: UUID | None = None,
    before: UUID | None = None,
    newest_first: bool = False,
) -> list[ListedInvoice]:
    """Return invoices in order of creation; None doesn't narrow."""
    return page(
        conn,
        _INVOICES,
        _CONDITIONS,
        _listed,
        limit=limit,
        newest_first=newest_first,
        id=id,
        status=status,
        subscription_id=subscription_id,
        customer_id=customer_id,
        after=after,
        before=before,
    )
