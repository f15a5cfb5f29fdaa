"""Recognition: what of each invoice is earned, given back, or left to be earned.

A caller that decides by these figures locks the invoice first, and before it the payment's row,
where there is one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from billing.rules.invoices import InvoiceStatus
from billing.rules.refunds import Parts
from billing.store.bulk import bulk_insert
from billing.store.payments.payments import Payment
from billing.store.rows import reader
from billing.store.tables import revenue_recognitions


@dataclass(frozen=True, slots=True)
class DueInvoice:
    """An invoice that is due for recognition, with its period of service."""

    id: UUID
    status: InvoiceStatus
    currency: str
    period_start: datetime
    period_end: datetime
    zone: str


@dataclass(frozen=True, slots=True)
class RevenueRecognition:
    """One step of an invoice's revenue; negative where it is reversed."""

    invoice_id: UUID
    through: datetime
    amount: int


_due_of = reader(DueInvoice)
_recognition_of = reader(RevenueRecognition)

# The lines of an invoice of no cycle are all of one period, or of none: then it is earned at once.
# Service ends where the cycle is cut. Days are those of the zone in which it was issued.
_LOCK_DUE = text(
    """
    SELECT i.id, i.status, i.currency,
           CASE WHEN s.segment_from_n = 0 OR i.facts IS NULL THEN s.zone
                ELSE CAST(i.facts AS json) ->> 'zone' END AS zone,
           coalesce(c.period_start, (SELECT l.period_start FROM invoice_lines l
                                      WHERE l.invoice_id = i.id AND l.line = 1),
                    i.issued_at - interval '1 microsecond') AS period_start,
           coalesce((SELECT k.cut_at FROM cycle_cuts k
                      WHERE k.subscription_id = c.subscription_id AND k.n = c.n),
                    c.period_end,
                    (SELECT CASE WHEN l.period_end IS NOT NULL THEN
                            least(l.period_end, (SELECT min(k.cut_at) FROM cycle_cuts k
                                                  WHERE k.subscription_id = i.subscription_id
                                                    AND k.cut_at > l.period_start)) END
                       FROM invoice_lines l
                      WHERE l.invoice_id = i.id AND l.line = 1),
                    i.issued_at) AS period_end
      FROM invoices i
      LEFT JOIN cycles c ON c.id = i.cycle_id
      LEFT JOIN subscriptions s ON s.id = i.subscription_id
     WHERE i.recognise_at IS NOT NULL AND i.recognise_at <= :now
     ORDER BY i.recognise_at
     LIMIT :limit
       FOR UPDATE OF i SKIP LOCKED
    """
)


def lock_due(conn: Connection, now: datetime, limit: int) -> list[DueInvoice]:
    """Lock up to `limit` invoices that are due for recognition, earliest first."""
    return [_due_of(row) for row in conn.execute(_LOCK_DUE, {"now": now, "limit": limit})]


@dataclass(frozen=True, slots=True)
class Standing:
    """What is left of an invoice's parts after credit notes, refunds and lost disputes.

    `left.deferred` is still to be earned. `recognised` is what was earned, given back or not;
    `last` the instant up to which something was.
    """

    left: Parts
    recognised: int
    last: datetime | None


_STANDING = text(
    """
    SELECT i.id, i.net, i.tax, r.recognised, r.last,
           g.recognised AS back_recognised, g.deferred AS back_deferred, g.tax AS back_tax
      FROM invoices i
      LEFT JOIN payments p ON p.invoice_id = i.id
     CROSS JOIN LATERAL (
           SELECT coalesce(sum(amount), 0) AS recognised, max(through) AS last
             FROM revenue_recognitions WHERE invoice_id = i.id) r
     CROSS JOIN LATERAL (
           SELECT coalesce(sum(recognised), 0) AS recognised,
                  coalesce(sum(deferred), 0) AS deferred, coalesce(sum(tax), 0) AS tax
             FROM (SELECT f.recognised, f.deferred, f.tax FROM refunds f
                    WHERE f.payment_id = p.id AND f.state NOT IN ('failed', 'canceled')
                    UNION ALL
                   SELECT d.lost_recognised, d.lost_deferred, d.lost_tax FROM disputes d
                    WHERE d.payment_id = p.id AND d.state = 'lost'
                    UNION ALL
                   SELECT c.recognised, c.deferred, c.tax FROM credit_notes c
                    WHERE c.invoice_id = i.id) b) g
     WHERE i.id = ANY(CAST(:ids AS uuid[]))
    """
)


def standings(conn: Connection, invoice_ids: Sequence[UUID]) -> dict[UUID, Standing]:
    """Return what is left of (locked) invoices."""
    rows = conn.execute(_STANDING, {"ids": list(invoice_ids)})
    return {row.id: _standing(row) for row in rows}


def _standing(row: Row[Any]) -> Standing:
    recognised = int(row.recognised)
    left = Parts(
        recognised=max(0, recognised - int(row.back_recognised)),
        deferred=row.net - recognised - int(row.back_deferred),
        tax=row.tax - int(row.back_tax),
    )
    return Standing(left, recognised, row.last)


_LOCK_INVOICE = text("SELECT id FROM invoices WHERE id = :id FOR UPDATE")
_IS_TOP_UP = text("SELECT kind = 'top_up' FROM invoices WHERE id = :id FOR UPDATE")
_BACK = text(
    """
    SELECT (SELECT coalesce(sum(amount), 0) FROM refunds
             WHERE payment_id = :payment AND state NOT IN ('failed', 'canceled'))
         + (SELECT coalesce(sum(lost_recognised + lost_deferred + lost_tax), 0) FROM disputes
             WHERE payment_id = :payment AND state = 'lost') AS amount
    """
)


def lock_invoice(conn: Connection, invoice_id: UUID) -> None:
    """Lock an invoice, so that nothing of it is earned or given back meanwhile."""
    conn.execute(_LOCK_INVOICE, {"id": invoice_id})


def parts_left(conn: Connection, payment: Payment) -> Parts:
    """Return what a (locked) payment's money consists of now, what was given back taken off.

    Locks its invoice. A one-off charge has none: all of it was earned. So it is with credit that
    was bought: what was used of it was earned elsewhere, and what wasn't goes back with the money.
    """
    if payment.invoice_id is None or conn.execute(_IS_TOP_UP, {"id": payment.invoice_id}).scalar():
        back = int(conn.execute(_BACK, {"payment": payment.id}).scalar_one())
        return Parts(recognised=max(0, payment.amount_captured - back))
    return standings(conn, [payment.invoice_id])[payment.invoice_id].left


def record(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert steps of revenue: invoice_id, through, amount (negative where reversed)."""
    bulk_insert(conn, revenue_recognitions, rows)


_SCHEDULE_NEXT = text(
    """
    UPDATE invoices AS i SET recognise_at = x.at
      FROM unnest(CAST(:ids AS uuid[]), CAST(:instants AS timestamptz[])) AS x(id, at)
     WHERE i.id = x.id
    """
)


def schedule_next(conn: Connection, at: Mapping[UUID, datetime | None]) -> None:
    """Set when each (locked) invoice is next due for recognition; None: never."""
    if at:
        conn.execute(_SCHEDULE_NEXT, {"ids": list(at), "instants": list(at.values())})


def of_invoice(conn: Connection, invoice_id: UUID) -> list[RevenueRecognition]:
    """Return what was earned of an invoice, oldest first."""
    query = text("SELECT * FROM revenue_recognitions WHERE invoice_id = :id ORDER BY through")
    return [_recognition_of(row) for row in conn.execute(query, {"id": invoice_id})]
