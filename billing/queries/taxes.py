"""Taxes by place: what was invoiced, what was taken back, and what the journal owes."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

from billing.store.payments.tax_decisions import InvoiceTax, of_invoice
from billing.store.rows import reader
from billing.store.subscriptions.tax_rates import published as published_rates

__all__ = [
    "InvoiceTax",
    "TaxPayable",
    "TaxTotal",
    "of_invoice",
    "payable",
    "published_rates",
    "totals",
]


@dataclass(frozen=True, slots=True)
class TaxTotal:
    """One tax of a place, in minor units: bases and amounts invoiced, and taken back again.

    What was taken back was credited by notes, or is of invoices that were voided, each when it
    was.
    """

    jurisdiction: str
    name: str
    treatment: str
    rate: str
    currency: str
    invoices: int
    base: int
    amount: int
    base_back: int
    amount_back: int

    @property
    def owed(self) -> int:
        """What is owed of it: invoiced less taken back."""
        return self.amount - self.amount_back


@dataclass(frozen=True, slots=True)
class TaxPayable:
    """What the journal owes in taxes, and what of the difference to invoices was otherwise booked.

    `otherwise` is what refunds without a note, disputes and write-offs took back.
    """

    currency: str
    owed: int
    otherwise: int


_total_of = reader(TaxTotal)
_payable_of = reader(TaxPayable)

_EVENTS: Final = """
    SELECT x.invoice_id, x.n, i.issued_at AS at, x.base, x.amount, 0 AS base_back, 0 AS amount_back
      FROM invoice_taxes x JOIN invoices i ON i.id = x.invoice_id
    UNION ALL
    SELECT x.invoice_id, x.n, i.resolved_at, 0, 0, x.base, x.amount
      FROM invoice_taxes x JOIN invoices i ON i.id = x.invoice_id
     WHERE i.status = 'void'
    UNION ALL
    SELECT t.invoice_id, t.n, c.created_at, 0, 0, t.base, t.amount
      FROM credit_note_taxes t JOIN credit_notes c ON c.id = t.note_id
"""
_TOTALS: Final = text(
    f"""
    SELECT x.jurisdiction, x.name, x.treatment, x.rate, i.currency,
           count(DISTINCT e.invoice_id) FILTER (WHERE e.base_back = 0 AND e.amount_back = 0)
             AS invoices,
           sum(e.base)::bigint AS base, sum(e.amount)::bigint AS amount,
           sum(e.base_back)::bigint AS base_back, sum(e.amount_back)::bigint AS amount_back
      FROM ({_EVENTS}) e
      JOIN invoice_taxes x ON x.invoice_id = e.invoice_id AND x.n = e.n
      JOIN invoices i ON i.id = e.invoice_id
     WHERE (CAST(:since AS timestamptz) IS NULL OR e.at >= :since)
       AND (CAST(:until AS timestamptz) IS NULL OR e.at < :until)
     GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 5, 2, 3, 4
    """  # noqa: S608  from constants of this file
)
_PAYABLE: Final = text(
    f"""
    SELECT currency, sum(owed)::bigint AS owed, sum(invoiced - owed)::bigint AS otherwise
      FROM (SELECT a.currency, -l.amount AS owed, 0 AS invoiced
              FROM ledger.accounts a JOIN ledger.postings l ON l.account_id = a.id
             WHERE a.code = 'tax_payable'
            UNION ALL
            SELECT i.currency, 0, e.amount - e.amount_back
              FROM ({_EVENTS}) e JOIN invoices i ON i.id = e.invoice_id) b
     GROUP BY currency HAVING sum(abs(owed) + abs(invoiced)) > 0 ORDER BY currency
    """  # noqa: S608  from constants of this file
)


def totals(conn: Connection, since: datetime | None, until: datetime | None) -> list[TaxTotal]:
    """Return each tax of each place over a time, `until` not included; None doesn't narrow."""
    return [_total_of(row) for row in conn.execute(_TOTALS, {"since": since, "until": until})]


def payable(conn: Connection) -> list[TaxPayable]:
    """Return what the journal owes in taxes, by currency."""
    return [_payable_of(row) for row in conn.execute(_PAYABLE)]
