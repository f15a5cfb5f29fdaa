"""Credit for people and for the API: grants with what is left of them, their moves, balances."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, func, select, text

from billing.queries.lists import Listing
from billing.queries.paging import page
from billing.rules.credit import CreditSource, MoveKind
from billing.store.rows import reader
from billing.store.tables import credit_grants, credit_moves


@dataclass(frozen=True, slots=True)
class ListedGrant:
    """A grant with what is left of it, in minor units of its currency.

    `expired_at` is when its rest expired, or was revoked.
    """

    id: UUID
    customer_id: UUID
    currency: str
    amount: int
    left: int
    source: CreditSource
    priority: int
    subscription_id: UUID | None
    effective_at: datetime
    expires_at: datetime | None
    expired_at: datetime | None
    reason: str
    invoice_id: UUID | None
    actor: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ListedMove:
    """One move of a grant, with the invoice that it pays."""

    n: int
    at: datetime
    kind: MoveKind
    amount: int
    left_after: int
    currency: str
    invoice_id: UUID | None
    invoice_number: str | None
    actor: str


@dataclass(frozen=True, slots=True)
class CreditBalance:
    """What a customer has left in a currency, in minor units.

    `usable` is what pays invoices now, those of one subscription included.
    """

    currency: str
    left: int
    usable: int


_grant = reader(ListedGrant)
_move = reader(ListedMove)
_balance = reader(CreditBalance)

_OF_GRANT: Final = credit_moves.c.grant_id == credit_grants.c.id
GRANTS: Final = Listing(
    credit_grants,
    _grant,
    select(
        credit_grants,
        select(credit_moves.c.left_after)
        .where(_OF_GRANT)
        .order_by(credit_moves.c.n.desc())
        .limit(1)
        .scalar_subquery()
        .label("left"),
        select(func.min(credit_moves.c.at))
        .where(_OF_GRANT, credit_moves.c.kind == MoveKind.EXPIRED)
        .scalar_subquery()
        .label("expired_at"),
    ),
)
"""Grants for the API, each with what is left of it."""

_GRANTS: Final = """
SELECT g.*, (SELECT m.left_after FROM credit_moves m WHERE m.grant_id = g.id
              ORDER BY m.n DESC LIMIT 1) AS left,
       (SELECT min(m.at) FROM credit_moves m
         WHERE m.grant_id = g.id AND m.kind = 'expired') AS expired_at
  FROM credit_grants g
 WHERE {where}
 ORDER BY g.id LIMIT :limit
"""
_CONDITIONS: Final = {
    "id": "g.id = :id",
    "customer_id": "g.customer_id = :customer_id",
    "after": "g.id > :after",
}


def grants(
    conn: Connection,
    *,
    customer_id: UUID | None = None,
    limit: int = 50,
    after: UUID | None = None,
) -> list[ListedGrant]:
    """Return grants in order of their ids; None doesn't narrow."""
    asked = {"customer_id": customer_id, "after": after}
    return page(conn, _GRANTS, _CONDITIONS, _grant, limit=limit, newest_first=False, **asked)


def grant(conn: Connection, grant_id: UUID) -> ListedGrant | None:
    """Return one grant."""
    found = page(conn, _GRANTS, _CONDITIONS, _grant, limit=1, id=grant_id)
    return found[0] if found else None


_MOVES: Final = text(
    """
    SELECT m.n, m.at, m.kind, m.amount, m.left_after, m.currency, m.invoice_id,
           i.number AS invoice_number, m.actor
      FROM credit_moves m LEFT JOIN invoices i ON i.id = m.invoice_id
     WHERE m.grant_id = :grant ORDER BY m.n
    """
)


def moves_of(conn: Connection, grant_id: UUID) -> Sequence[ListedMove]:
    """Return what became of a grant, oldest first."""
    return [_move(row) for row in conn.execute(_MOVES, {"grant": grant_id})]


_BALANCES: Final = text(
    """
    SELECT g.currency, coalesce(sum(m.left_after), 0)::bigint AS left,
           coalesce(sum(m.left_after) FILTER (
             WHERE g.effective_at <= :now AND (g.expires_at IS NULL OR g.expires_at > :now)
               AND NOT EXISTS (SELECT FROM credit_moves x
                                WHERE x.grant_id = g.id AND x.kind = 'expired')), 0)::bigint
             AS usable
      FROM credit_grants g
     CROSS JOIN LATERAL (SELECT left_after FROM credit_moves
                          WHERE grant_id = g.id ORDER BY n DESC LIMIT 1) m
     WHERE g.customer_id = :customer
     GROUP BY g.currency ORDER BY g.currency
    """
)


def balances(conn: Connection, customer_id: UUID, now: datetime) -> Sequence[CreditBalance]:
    """Return what a customer has left, by currency; one who was never granted any has none."""
    given = {"customer": customer_id, "now": now}
    return [_balance(row) for row in conn.execute(_BALANCES, given)]
