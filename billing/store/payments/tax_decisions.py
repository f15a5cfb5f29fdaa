"""Decisions on taxes, and the taxes of invoices."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from billing.store.bulk import bulk_insert
from billing.store.rows import reader
from billing.store.tables import credit_note_taxes, invoice_taxes, tax_decisions
from billing.tax import TaxDecision


@dataclass(frozen=True, slots=True)
class InvoiceTax:
    """One tax of an invoice, in minor units: what it is of, and what it comes to.

    `rate` is exact text, in percent. `reason` says why, where nothing is levied.
    """

    invoice_id: UUID
    n: int
    decision_id: UUID
    name: str
    jurisdiction: str
    treatment: str
    rate: str
    included: bool
    reason: str
    base: int
    amount: int


_decision_of = reader(TaxDecision)
_tax_of = reader(InvoiceTax)


def keep(conn: Connection, decisions: Iterable[TaxDecision], now: datetime) -> None:
    """Store decisions that aren't yet; equal requests of a day have one."""
    rows = {each.id: each for each in decisions}
    if not rows:
        return
    values = [
        {name: getattr(row, name) for name in TaxDecision.__dataclass_fields__} | {"at": now}
        for _, row in sorted(rows.items())
    ]
    conn.execute(insert(tax_decisions).values(values).on_conflict_do_nothing())


def find(conn: Connection, decision_id: UUID) -> TaxDecision | None:
    """Return a decision by its id."""
    row = conn.execute(select(tax_decisions).where(tax_decisions.c.id == decision_id)).one_or_none()
    return _decision_of(row) if row else None


def add_taxes(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the taxes of (just issued) invoices, all in one statement."""
    bulk_insert(conn, invoice_taxes, rows)


def of_invoice(conn: Connection, invoice_id: UUID) -> list[InvoiceTax]:
    """Return the taxes of an invoice in order."""
    query = select(invoice_taxes).where(invoice_taxes.c.invoice_id == invoice_id)
    return [_tax_of(row) for row in conn.execute(query.order_by(invoice_taxes.c.n))]


def add_of_note(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write what a credit note takes back of its invoice's taxes, all in one statement."""
    bulk_insert(conn, credit_note_taxes, rows)
