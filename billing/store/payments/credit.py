"""Credit of customers: what was granted, and the moves that use it up.

A move begins with what the one before it left, which the database holds. Whoever adds moves locks
the customer's credit first, so that two at once wait for each other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NotRequired, TypedDict
from uuid import UUID

from sqlalchemy import Connection, insert, text

from billing.rules.credit import CreditSource, MoveKind
from billing.store.arrays import literal
from billing.store.bulk import bulk_insert
from billing.store.rows import reader
from billing.store.tables import credit_grants, credit_moves


@dataclass(frozen=True, slots=True)
class GrantLeft:
    """A grant with what is left of it, in minor units, and the number of its last move."""

    id: UUID
    customer_id: UUID
    currency: str
    amount: int
    source: CreditSource
    priority: int
    subscription_id: UUID | None
    effective_at: datetime
    expires_at: datetime | None
    created_at: datetime
    n: int
    left: int


class NewGrant(TypedDict):
    """The columns of a grant."""

    id: UUID
    customer_id: UUID
    currency: str
    amount: int
    source: CreditSource
    priority: int
    subscription_id: UUID | None
    effective_at: datetime
    expires_at: datetime | None
    reason: str
    invoice_id: UUID | None
    actor: str
    created_at: datetime
    note_id: NotRequired[UUID]


class NewMove(TypedDict):
    """The columns of a move."""

    grant_id: UUID
    n: int
    customer_id: UUID
    currency: str
    kind: MoveKind
    amount: int
    left_before: int
    left_after: int
    invoice_id: UUID | None
    at: datetime
    actor: str


@dataclass(frozen=True, slots=True)
class AppliedGrant:
    """What of a grant pays an invoice."""

    grant_id: UUID
    customer_id: UUID
    currency: str
    source: CreditSource
    amount: int


_left_of = reader(GrantLeft)
_applied_of = reader(AppliedGrant)

# A customer who was never granted anything costs one look into an index.
_LOCK = text(
    """
    SELECT pg_advisory_xact_lock(hashtextextended('credit ' || c.customer_id, 0))
      FROM (SELECT DISTINCT customer_id FROM credit_grants
             WHERE customer_id = ANY(CAST(:ids AS uuid[])) ORDER BY customer_id) c
    """
)
_LEFT = text(
    """
    SELECT g.id, g.customer_id, g.currency, g.amount, g.source, g.priority, g.subscription_id,
           g.effective_at, g.expires_at, g.created_at, m.n, m.left_after AS left
      FROM credit_grants g
     CROSS JOIN LATERAL (SELECT n, left_after FROM credit_moves
                          WHERE grant_id = g.id ORDER BY n DESC LIMIT 1) m
     WHERE g.customer_id = ANY(CAST(:ids AS uuid[]))
     ORDER BY g.created_at, g.id
    """
)


def lock_left(conn: Connection, customer_ids: Sequence[UUID]) -> Mapping[UUID, Sequence[GrantLeft]]:
    """Lock the credit of customers until the transaction ends; return their grants by customer.

    Those with nothing left are among them.
    """
    if not conn.execute(_LOCK, {"ids": literal(customer_ids)}).fetchall():
        return {}
    found: dict[UUID, list[GrantLeft]] = {}
    for row in conn.execute(_LEFT, {"ids": literal(customer_ids)}):
        found.setdefault(row.customer_id, []).append(_left_of(row))
    return found


def left_of(conn: Connection, customer_id: UUID) -> Sequence[GrantLeft]:
    """Return the grants of a customer with what is left of each, oldest first."""
    return [_left_of(row) for row in conn.execute(_LEFT, {"ids": literal([customer_id])})]


def add_grants(conn: Connection, grants: Sequence[NewGrant]) -> None:
    """Insert grants, each with its first move."""
    if grants:
        conn.execute(insert(credit_grants), grants)
    add_moves(conn, [_granted(grant) for grant in grants])


def _granted(grant: NewGrant) -> NewMove:
    return {
        "grant_id": grant["id"],
        "n": 0,
        "customer_id": grant["customer_id"],
        "currency": grant["currency"],
        "kind": MoveKind.GRANTED,
        "amount": grant["amount"],
        "left_before": 0,
        "left_after": grant["amount"],
        "invoice_id": None,
        "at": grant["created_at"],
        "actor": grant["actor"],
    }


def add_moves(conn: Connection, moves: Sequence[NewMove]) -> None:
    """Insert moves, in the order in which they follow each other."""
    bulk_insert(conn, credit_moves, moves)


_APPLIED = text(
    """
    SELECT m.grant_id, m.customer_id, m.currency, g.source,
           sum(CASE m.kind WHEN 'applied' THEN m.amount ELSE -m.amount END)::bigint AS amount
      FROM credit_moves m JOIN credit_grants g ON g.id = m.grant_id
     WHERE m.invoice_id = :invoice AND m.kind IN ('applied', 'returned')
     GROUP BY m.grant_id, m.customer_id, m.currency, g.source
    HAVING sum(CASE m.kind WHEN 'applied' THEN m.amount ELSE -m.amount END) > 0
     ORDER BY m.grant_id
    """
)


def applied_to(conn: Connection, invoice_id: UUID) -> Sequence[AppliedGrant]:
    """Return what pays an invoice now, by grant."""
    return [_applied_of(row) for row in conn.execute(_APPLIED, {"invoice": invoice_id})]
