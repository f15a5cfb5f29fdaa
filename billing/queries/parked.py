"""What waits for a person: parked subscriptions and payments, with the error that parked them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection

from billing.queries.paging import page
from billing.store.rows import reader


class ParkedKind(StrEnum):
    """The kinds of rows that can be parked."""

    SUBSCRIPTION = "subscription"
    PAYMENT = "payment"


@dataclass(frozen=True, slots=True)
class Parked:
    """A parked row; `external_id` of a payment is its invoice's number."""

    kind: ParkedKind
    id: UUID
    external_id: str | None
    customer_id: UUID
    customer_external_id: str | None
    parked_at: datetime
    reason: str | None
    error: str | None
    facts: Mapping[str, Any]


_parked = reader(Parked)

_PARKED: Final = """
SELECT * FROM (
  SELECT 'subscription' AS kind, s.id, s.external_id, s.customer_id,
         c.external_id AS customer_external_id, s.parked_at, s.parked_reason AS reason,
         s.parked_error AS error, s.parked_facts AS facts
    FROM subscriptions s JOIN customers c ON c.id = s.customer_id
   WHERE s.parked_at IS NOT NULL
   UNION ALL
  SELECT 'payment', p.id, i.number, p.customer_id, c.external_id, p.parked_at,
         p.parked_reason, p.parked_error, '{{}}'::jsonb
    FROM payments p JOIN customers c ON c.id = p.customer_id
    LEFT JOIN invoices i ON i.id = p.invoice_id
   WHERE p.parked_at IS NOT NULL) x
 WHERE {where}
 ORDER BY x.id LIMIT :limit
"""
_CONDITIONS: Final = {
    "id": "x.id = :id",
    "kind": "x.kind = :kind",
    "reason": "x.reason = :reason",
    "after": "x.id > :after",
}


def parked(
    conn: Connection,
    *,
    limit: int = 50,
    id: UUID | None = None,
    kind: str | None = None,
    reason: str | None = None,
    after: UUID | None = None,
) -> list[Parked]:
    """Return parked subscriptions and payments in order of creation; None doesn't narrow."""
    return page(
        conn,
        _PARKED,
        _CONDITIONS,
        _parked,
        limit=limit,
        id=id,
        kind=kind,
        reason=reason,
        after=after,
    )
