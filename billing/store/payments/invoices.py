"""Invoices and their lines."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Row, case, or_, select, update

from billing.store.bulk import bulk_insert
from billing.store.tables import invoice_lines, invoices


def add(
    conn: Connection, rows: Sequence[Mapping[str, Any]], lines: Sequence[Mapping[str, Any]]
) -> None:
    """Issue invoices; the database checks that each one's lines add up to its net."""
    bulk_insert(conn, invoices, rows)
    bulk_insert(conn, invoice_lines, lines)


def set_status(conn: Connection, invoice_id: UUID, status: str, now: datetime) -> None:
    """Move an invoice to `status`; the database refuses an illegal change.

    Of what isn't collected nothing more is earned; what is collected after all is looked at now.
    """
    given_up = invoices.c.status.in_(("void", "uncollectible"))
    recognise_at: ColumnElement[datetime | None] | None = None
    if status in ("open", "paid"):
        recognise_at = case((given_up, now), else_=invoices.c.recognise_at)
    conn.execute(
        update(invoices)
        .where(invoices.c.id == invoice_id, invoices.c.status != status)
        .values(
            status=status,
            resolved_at=None if status == "open" else now,
            recognise_at=recognise_at,
        )
    )


def find(conn: Connection, reference: str) -> Row[Any] | None:
    """Return the invoice with this id or number."""
    try:
        match = or_(invoices.c.id == UUID(reference), invoices.c.number == reference)
    except ValueError:
        match = invoices.c.number == reference
    return conn.execute(select(invoices).where(match)).one_or_none()


def lines(conn: Connection, invoice_id: UUID) -> list[Row[Any]]:
    """Return an invoice's lines in order."""
    query = select(invoice_lines).where(invoice_lines.c.invoice_id == invoice_id)
    return list(conn.execute(query.order_by(invoice_lines.c.line)))


def of_cycle(conn: Connection, cycle_id: UUID) -> Row[Any] | None:
    """Return the invoice of a cycle, if it has one."""
    return conn.execute(select(invoices).where(invoices.c.cycle_id == cycle_id)).one_or_none()


def page(
    conn: Connection,
    *,
    status: str | None = None,
    subscription_id: UUID | None = None,
    customer_id: UUID | None = None,
    limit: int = 50,
    after: UUID | None = None,
) -> list[Row[Any]]:
    """Return up to `limit` invoices in order of issue, after the id `after`."""
    query = select(invoices).order_by(invoices.c.id).limit(limit)
    if status is not None:
        query = query.where(invoices.c.status == status)
    if subscription_id is not None:
        query = query.where(invoices.c.subscription_id == subscription_id)
    if customer_id is not None:
        query = query.where(invoices.c.customer_id == customer_id)
    if after is not None:
        query = query.where(invoices.c.id > after)
    return list(conn.execute(query))
