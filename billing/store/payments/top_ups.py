"""Orders of credit: what the payment of an invoice grants."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, insert, select, text

from billing.store.rows import reader
from billing.store.tables import top_ups


@dataclass(frozen=True, slots=True)
class TopUp:
    """What an invoice of credit grants once it is paid: of which priority, for how many days."""

    invoice_id: UUID
    customer_id: UUID
    priority: int
    valid_days: int | None
    reason: str
    actor: str
    created_at: datetime


_of = reader(TopUp)


def add(conn: Connection, row: Mapping[str, Any]) -> None:
    """Write down what an invoice, which is there, is to grant."""
    conn.execute(insert(top_ups).values(**row))


def get(conn: Connection, invoice_id: UUID) -> TopUp:
    """Return what an invoice of credit is to grant."""
    return _of(conn.execute(select(top_ups).where(top_ups.c.invoice_id == invoice_id)).one())


_GRANT = text("SELECT id FROM credit_grants WHERE invoice_id = :invoice AND source = 'bought'")


def grant_of(conn: Connection, invoice_id: UUID) -> UUID | None:
    """Return the grant that an invoice of credit has made, None while it isn't paid."""
    found: UUID | None = conn.execute(_GRANT, {"invoice": invoice_id}).scalar()
    return found
