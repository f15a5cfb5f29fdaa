"""Refunds: what is given back, from the request to the provider's last word."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, insert, select, text, update

from billing.store import dispatch, paging
from billing.store.tables import refunds


def add(conn: Connection, values: Mapping[str, Any]) -> None:
    """Write a refund down; at commit the database adds all of its payment's refunds up."""
    conn.execute(insert(refunds).values(**values))


def change(conn: Connection, refund_id: UUID, **values: Any) -> None:
    """Write columns of one refund."""
    conn.execute(update(refunds).where(refunds.c.id == refund_id).values(**values))


# --- dispatch -----------------------------------------------------------------------------------

DISPATCH_DUE = dispatch.due_statement("refunds")
_FOR_SEND = text(
    """
    SELECT r.*, p.provider_payment_id,
           r.sends = 0 OR r.last_error IS NOT NULL AND r.unknown_since IS NULL AS never_executed
      FROM refunds r
      JOIN payments p ON p.id = r.payment_id
     WHERE r.id = :id AND r.state IN ('requested', 'pending')
       AND r.next_attempt_at <= :now AND (r.lease_until IS NULL OR r.lease_until <= :wall)
       FOR UPDATE OF r SKIP LOCKED
    """
)


def lock_for_send(
    conn: Connection, refund_id: UUID, *, now: datetime, wall: datetime
) -> Row[Any] | None:
    """Lock a refund that wants the provider now; None when it doesn't or somebody is at it."""
    return conn.execute(_FOR_SEND, {"id": refund_id, "now": now, "wall": wall}).one_or_none()


# --- reading ------------------------------------------------------------------------------------


def get(conn: Connection, refund_id: UUID) -> Row[Any] | None:
    """Return one refund."""
    return conn.execute(select(refunds).where(refunds.c.id == refund_id)).one_or_none()


def lock(conn: Connection, refund_id: UUID) -> Row[Any] | None:
    """Lock one refund; its payment was locked before."""
    query = select(refunds).where(refunds.c.id == refund_id).with_for_update()
    return conn.execute(query).one_or_none()


def by_provider_id(conn: Connection, provider_refund_id: str) -> Row[Any] | None:
    """Return the refund that the provider knows by this id."""
    query = select(refunds).where(refunds.c.provider_refund_id == provider_refund_id)
    return conn.execute(query).one_or_none()


def page(
    conn: Connection,
    *,
    payment_id: UUID | None = None,
    state: str | None = None,
    limit: int = 50,
    after: UUID | None = None,
) -> list[Row[Any]]:
    """Return up to `limit` refunds in order of creation, after the id `after`."""
    equal = {"payment_id": payment_id, "state": state}
    return paging.page(conn, refunds, equal, limit=limit, after=after)


_SUCCEEDED = text(
    "SELECT coalesce(sum(amount), 0) FROM refunds"
    " WHERE payment_id = :payment AND state = 'succeeded'"
)


def succeeded_amount(conn: Connection, payment_id: UUID) -> int:
    """Return how much of a payment was given back for certain."""
    return int(conn.execute(_SUCCEEDED, {"payment": payment_id}).scalar_one())


_OPEN_CYCLE = text("SELECT id FROM cycles WHERE id = :id AND state = 'opened' FOR SHARE")


def open_cycle(conn: Connection, cycle_id: UUID | None) -> UUID | None:
    """Return the cycle, held open until the transaction ends, or None when it is closed."""
    found: UUID | None = conn.execute(_OPEN_CYCLE, {"id": cycle_id}).scalar()
    return found
