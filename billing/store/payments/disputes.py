"""Disputes: what cardholders' banks ask about and take back."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, select, text, update
from sqlalchemy.dialects.postgresql import insert

from billing.store import paging
from billing.store.tables import disputes, payments


def claim(conn: Connection, values: Mapping[str, Any]) -> Row[Any]:
    """Lock the row of a dispute, which is made from `values` if there is none."""
    conn.execute(
        insert(disputes)
        .values(**values)
        .on_conflict_do_nothing(index_elements=["provider_dispute_id"])
    )
    query = select(disputes).where(disputes.c.provider_dispute_id == values["provider_dispute_id"])
    return conn.execute(query.with_for_update()).one()


def change(conn: Connection, dispute_id: UUID, now: datetime, **values: Any) -> None:
    """Write columns of one dispute."""
    conn.execute(
        update(disputes).where(disputes.c.id == dispute_id).values(updated_at=now, **values)
    )


def payment_of(
    conn: Connection, *, provider_payment_id: str | None, provider_charge_id: str | None
) -> UUID | None:
    """Return our payment behind a charge of the provider, if it is one of ours."""
    if provider_payment_id is not None:
        same = payments.c.provider_payment_id == provider_payment_id
    elif provider_charge_id is not None:
        same = payments.c.provider_charge_id == provider_charge_id
    else:
        return None
    found: UUID | None = conn.execute(select(payments.c.id).where(same)).scalar()
    return found


_IN_DISPUTE = text(
    "SELECT coalesce(sum(amount), 0) FROM disputes WHERE payment_id = :payment AND funds_withdrawn"
)


def in_dispute(conn: Connection, payment_id: UUID) -> int:
    """Return how much of a payment is held by cardholders' banks, or was lost to them."""
    return int(conn.execute(_IN_DISPUTE, {"payment": payment_id}).scalar_one())


def get(conn: Connection, dispute_id: UUID) -> Row[Any] | None:
    """Return one dispute."""
    return conn.execute(select(disputes).where(disputes.c.id == dispute_id)).one_or_none()


def page(
    conn: Connection,
    *,
    payment_id: UUID | None = None,
    state: str | None = None,
    limit: int = 50,
    after: UUID | None = None,
) -> list[Row[Any]]:
    """Return up to `limit` disputes in the order they were learned of, after the id `after`."""
    equal = {"payment_id": payment_id, "state": state}
    return paging.page(conn, disputes, equal, limit=limit, after=after)
