"""Customers for people, with their default payment method."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from billing.queries.paging import page
from billing.store.rows import reader
from billing.store.subscriptions.customers import accounts_of, payment_methods_of
from billing.store.subscriptions.customers import find as customer
from billing.store.subscriptions.tax_facts import of_customer as tax_facts_of

__all__ = [
    "ListedCustomer",
    "accounts_of",
    "customer",
    "customers",
    "payment_methods_of",
    "tax_facts_of",
]


@dataclass(frozen=True, slots=True)
class ListedCustomer:
    """A customer with their default payment method, and how many subscriptions aren't canceled."""

    id: UUID
    external_id: str | None
    name: str
    email: str | None
    provider: str
    provider_customer_id: str | None
    payment_method_kind: str | None
    card_brand: str | None
    card_last4: str | None
    card_exp_month: int | None
    card_exp_year: int | None
    live_subscriptions: int
    created_at: datetime


_listed = reader(ListedCustomer)

_CUSTOMERS: Final = """
SELECT c.id, c.external_id, c.name, c.email, c.provider, t.provider_customer_id,
       m.kind AS payment_method_kind, m.brand AS card_brand, m.last4 AS card_last4,
       m.exp_month AS card_exp_month, m.exp_year AS card_exp_year,
       (SELECT count(*) FROM subscriptions s
         WHERE s.customer_id = c.id AND s.status <> 'canceled') AS live_subscriptions,
       c.created_at
  FROM customers c
  JOIN provider_customers t ON t.customer_id = c.id AND t.provider = c.provider
  LEFT JOIN payment_methods m ON m.id = t.payment_method_id
 WHERE {where}
 ORDER BY c.id {order} LIMIT :limit
"""
_CONDITIONS: Final = {
    "id": "c.id = :id",
    "email": "lower(c.email) = lower(:email)",
    "after": "c.id > :after",
    "before": "c.id < :before",
}


def customers(
    conn: Connection,
    *,
    limit: int = 50,
    id: UUID | None = None,
    email: str | None = None,
    after: UUID | None = None,
    before: UUID | None = None,
    newest_first: bool = False,
) -> list[ListedCustomer]:
    """Return customers in order of creation; None doesn't narrow."""
    return page(
        conn,
        _CUSTOMERS,
        _CONDITIONS,
        _listed,
        limit=limit,
        newest_first=newest_first,
        id=id,
        email=email,
        after=after,
        before=before,
    )
