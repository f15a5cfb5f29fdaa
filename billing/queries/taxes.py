"""Taxes by place: what was invoiced, what was taken back, and what the journal owes."""

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from billing.queries.taxes_lost import DISPUTE, REFUND, WRITE_OFF, LostTax, lost
from billing.store.payments.tax_decisions import InvoiceTax, of_invoice
from billing.store.rows import reader
from billing.store.subscriptions.tax_rates import published as published_rates

__all__ = [
    "InvoiceTax",
    "TaxPayable",
    "TaxTotal",
    "TaxWaiting",
    "of_invoice",
    "payable",
    "published_rates",
    "totals",
    "waiting",
]


@dataclass(frozen=True, slots=True)
class TaxTotal:
    """One tax of a place, in minor units: bases and amounts invoiced, and taken back again.

    What was taken back was credited by notes, or is of invoices that were voided, each when it
    was. What refunds without a note, lost disputes and write-offs took of it is told apart: their
    bases together, and each one's tax; one that was reversed counts the other way then.
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
    base_lost: int = 0
    refunded: int = 0
    disputed: int = 0
    written_off: int = 0

    @property
    def lost(self) -> int:
        """What of the tax went back without a note."""
        return self.refunded + self.disputed + self.written_off

    @property
    def owed(self) -> int:
        """What is owed of it, as the journal has it: invoiced less all that went back."""
        return self.amount - self.amount_back - self.lost


@dataclass(frozen=True, slots=True)
class TaxPayable:
    """What the journal owes in taxes, and by how much less that is than what is owed by place.

    `otherwise` is 0 where every part that went back is of a line.
    """

    currency: str
    owed: int
    otherwise: int


@dataclass(frozen=True, slots=True)
class TaxWaiting:
    """A call about taxes that has no answer, or that was refused and waits for a person.

    `note` is the number of the credit note that it is about.
    """

    id: UUID
    kind: str
    state: str
    provider: str
    customer_id: UUID
    subscription_id: UUID | None
    invoice_id: UUID | None
    number: str | None
    note: str | None
    asked_at: datetime
    sends: int
    refusal: str | None
    error_class: str | None
    error_message: str | None


_waiting_of = reader(TaxWaiting)
_WAITING: Final = text(
    """
    SELECT c.id, c.kind, c.state, c.provider, c.customer_id, c.subscription_id, c.invoice_id,
           i.number, n.number AS note, c.asked_at, c.sends, c.refusal, c.error_class,
           c.error_message
      FROM tax_calls c
      LEFT JOIN invoices i ON i.id = c.invoice_id
      LEFT JOIN credit_notes n ON n.id = c.note_id
     WHERE c.next_attempt_at IS NOT NULL OR c.state = 'refused' AND c.kind <> 'calculation'
     ORDER BY c.asked_at, c.id
    """
)

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
    rows = conn.execute(_TOTALS, {"since": since, "until": until})
    found = {_of(each): each for each in (TaxTotal(**row._mapping) for row in rows)}
    for each in lost(conn, since, until):
        place = (each.jurisdiction, each.name, each.treatment, each.rate, each.currency)
        found[place] = _with_lost(found.get(place) or TaxTotal(*place, 0, 0, 0, 0, 0), each)
    return [found[place] for place in sorted(found, key=_in_order)]


def waiting(conn: Connection) -> list[TaxWaiting]:
    """Return the calls about taxes without an answer, and refused ones that wait for a person.

    A place that is refused has its subscription parked instead.
    """
    return [_waiting_of(row) for row in conn.execute(_WAITING)]


def payable(conn: Connection) -> list[TaxPayable]:
    """Return what the journal owes in taxes, by currency."""
    gone: Counter[str] = Counter()
    for each in lost(conn, None, None):
        gone[each.currency] += each.amount
    found = [_payable_of(row) for row in conn.execute(_PAYABLE)]
    return [replace(each, otherwise=each.otherwise - gone[each.currency]) for each in found]


_Place = tuple[str, str, str, str, str]


def _of(total: TaxTotal) -> _Place:
    return total.jurisdiction, total.name, total.treatment, total.rate, total.currency


def _in_order(place: _Place) -> _Place:
    jurisdiction, name, treatment, rate, currency = place
    return jurisdiction, currency, name, treatment, rate


def _with_lost(total: TaxTotal, more: LostTax) -> TaxTotal:
    return replace(
        total,
        base_lost=total.base_lost + more.base,
        refunded=total.refunded + (more.amount if more.kind == REFUND else 0),
        disputed=total.disputed + (more.amount if more.kind == DISPUTE else 0),
        written_off=total.written_off + (more.amount if more.kind == WRITE_OFF else 0),
    )
