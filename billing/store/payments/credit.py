"""Credit of customers: what was granted, and the moves that use it up.

A move begins with what the one before it left, which the database holds. Whoever adds moves locks
the customer's credit first, so that two at once wait for each other. A grant whose rest expired,
before its day or on it, pays nothing more, also where an invoice gives credit back to it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NotRequired, TypedDict
from uuid import UUID

from sqlalchemy import Connection, insert, select, text

from billing.rules.actor import Actor
from billing.rules.credit import CreditSource, MoveKind
from billing.store.arrays import literal
from billing.store.bulk import bulk_insert
from billing.store.rows import reader
from billing.store.tables import credit_grants, credit_moves


@dataclass(frozen=True, slots=True)
class GrantLeft:
    """A grant with what is left of it, in minor units, and the number of its last move.

    It pays nothing from `expires_at` on, which is the instant of its revocation where it has one.
    From `expiry_due_at` on, what is left of it is to be written off.
    """

    id: UUID
    customer_id: UUID
    currency: str
    amount: int
    source: CreditSource
    priority: int
    subscription_id: UUID | None
    effective_at: datetime
    expires_at: datetime | None
    expiry_due_at: datetime | None
    created_at: datetime
    n: int
    left: int

    def has_expired(self, now: datetime) -> bool:
        """Tell whether it pays nothing any more."""
        return self.expires_at is not None and self.expires_at <= now

    def after(self, move: "NewMove") -> "GrantLeft":
        """Return it as it is after its next move."""
        return replace(self, n=move["n"], left=move["left_after"])


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
    refund_id: UUID | None
    dispute_id: UUID | None


@dataclass(frozen=True, slots=True)
class AppliedGrant:
    """What of a grant pays an invoice."""

    grant_id: UUID
    customer_id: UUID
    currency: str
    source: CreditSource
    amount: int


@dataclass(frozen=True, slots=True)
class Grant:
    """A grant as it is stored, in minor units of its currency."""

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


_left_of = reader(GrantLeft)
_applied_of = reader(AppliedGrant)
_grant_of = reader(Grant)

# A customer who was never granted anything costs one look into an index.
_LOCK = text(
    """
    SELECT pg_advisory_xact_lock(hashtextextended('credit ' || c.customer_id, 0))
      FROM (SELECT DISTINCT customer_id FROM credit_grants
             WHERE customer_id = ANY(CAST(:ids AS uuid[])) ORDER BY customer_id) c
    """
)
_LOCK_ONE = text(
    "SELECT pg_advisory_xact_lock(hashtextextended('credit ' || CAST(:id AS text), 0))"
)
_LEFT = text(
    """
    SELECT g.id, g.customer_id, g.currency, g.amount, g.source, g.priority, g.subscription_id,
           g.effective_at, g.expiry_due_at, g.created_at, m.n, m.left_after AS left,
           least(g.expires_at, (SELECT min(x.at) FROM credit_moves x
                                 WHERE x.grant_id = g.id AND x.kind = 'expired')) AS expires_at
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


def lock(conn: Connection, customer_id: UUID) -> None:
    """Lock the credit of a customer, who may have none, until the transaction ends."""
    conn.execute(_LOCK_ONE, {"id": str(customer_id)})


def get(conn: Connection, grant_id: UUID) -> Grant | None:
    """Return one grant."""
    query = select(credit_grants).where(credit_grants.c.id == grant_id)
    row = conn.execute(query).one_or_none()
    return None if row is None else _grant_of(row)


_DUE = text(
    """
    SELECT g.customer_id FROM credit_grants g
     WHERE g.expiry_due_at <= :now
       AND NOT EXISTS (SELECT FROM provider_customers w
                        WHERE w.customer_id = g.customer_id
                          AND w.provider = ANY(CAST(:held AS text[])))
     ORDER BY g.expiry_due_at, g.id LIMIT :limit
    """
)


def whose_expiry_is_due(
    conn: Connection, now: datetime, limit: int, *, held: Sequence[str] = ()
) -> Sequence[UUID]:
    """Return the customers of up to `limit` grants whose rest is to be written off.

    Without customers who are at an account of `held`.
    """
    values = {"now": now, "limit": limit, "held": list(held)}
    return sorted(set(conn.execute(_DUE, values).scalars()))


_EXPIRY_DUE = text(
    "UPDATE credit_grants SET expiry_due_at = :at WHERE id = ANY(CAST(:ids AS uuid[]))"
)


def set_expiry_due(conn: Connection, grant_ids: Sequence[UUID], at: datetime | None) -> None:
    """Set from when on the rest of grants is to be written off; None: never."""
    if grant_ids:
        conn.execute(_EXPIRY_DUE, {"ids": literal(grant_ids), "at": at})


def add_grants(conn: Connection, grants: Sequence[NewGrant]) -> None:
    """Insert grants, each with its first move."""
    if grants:
        rows = [{**grant, "expiry_due_at": grant["expires_at"]} for grant in grants]
        conn.execute(insert(credit_grants), rows)
    add_moves(conn, [_granted(grant) for grant in grants])


def as_granted(grant: NewGrant) -> GrantLeft:
    """Return a grant as it is after its first move."""
    return GrantLeft(
        id=grant["id"],
        customer_id=grant["customer_id"],
        currency=grant["currency"],
        amount=grant["amount"],
        source=grant["source"],
        priority=grant["priority"],
        subscription_id=grant["subscription_id"],
        effective_at=grant["effective_at"],
        expires_at=grant["expires_at"],
        expiry_due_at=grant["expires_at"],
        created_at=grant["created_at"],
        n=0,
        left=grant["amount"],
    )


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
        "refund_id": None,
        "dispute_id": None,
    }


def next_move(
    kind: MoveKind,
    grant: GrantLeft,
    amount: int,
    at: datetime,
    actor: Actor,
    invoice_id: UUID | None = None,
) -> NewMove:
    """Return the move of an amount that follows on the last one of a (locked) grant."""
    return {
        "grant_id": grant.id,
        "n": grant.n + 1,
        "customer_id": grant.customer_id,
        "currency": grant.currency,
        "kind": kind,
        "amount": amount,
        "left_before": grant.left,
        "left_after": grant.left + kind.sign * amount,
        "invoice_id": invoice_id,
        "at": at,
        "actor": str(actor),
        "refund_id": None,
        "dispute_id": None,
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


_TAKEN_BY = text(
    """
    SELECT coalesce(sum(CASE kind WHEN 'refunded' THEN amount ELSE -amount END), 0)
      FROM credit_moves WHERE refund_id = :refund OR dispute_id = :dispute
    """
)


def taken_by(conn: Connection, *, refund_id: UUID | None, dispute_id: UUID | None) -> int:
    """Return how much credit a refund or a dispute holds back, in minor units."""
    values = {"refund": refund_id, "dispute": dispute_id}
    return int(conn.execute(_TAKEN_BY, values).scalar_one())
