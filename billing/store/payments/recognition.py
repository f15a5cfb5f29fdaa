"""Recognition: what of each line of an invoice is earned, given back, or left to be earned.

A caller that decides by these figures locks the invoice first, and before it the payment's row,
where there is one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from billing.rules.invoices import InvoiceStatus
from billing.rules.line_parts import NO_LINE, LineParts, total_of
from billing.rules.periods import Period
from billing.rules.refunds import Parts
from billing.store.bulk import bulk_insert
from billing.store.payments.payments import Payment
from billing.store.rows import reader
from billing.store.tables import revenue_recognitions


@dataclass(frozen=True, slots=True)
class DueInvoice:
    """An invoice of which lines are due for recognition, with the zone whose days count."""

    id: UUID
    status: InvoiceStatus
    currency: str
    issued_at: datetime
    zone: str


@dataclass(frozen=True, slots=True)
class RevenueRecognition:
    """One step of the revenue of a line; negative where it is reversed."""

    invoice_id: UUID
    line: int
    through: datetime
    amount: int


_due_of = reader(DueInvoice)
_recognition_of = reader(RevenueRecognition)

# Days are those of the zone in which it was issued.
_LOCK_DUE = text(
    """
    SELECT i.id, i.status, i.currency, i.issued_at,
           CASE WHEN s.segment_from_n = 0 OR i.facts IS NULL THEN s.zone
                ELSE CAST(i.facts AS json) ->> 'zone' END AS zone
      FROM invoices i
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
class LineStanding:
    """What is left of a line after credit notes, refunds and lost disputes, in minor units.

    `left.deferred` is still to be earned. `recognised` is what was earned, given back or not;
    `last` the instant up to which something was. `period` is that of its service; None: it is
    earned as soon as it is issued.
    """

    line: int
    net: int
    period: Period | None
    left: Parts
    recognised: int
    last: datetime | None


@dataclass(frozen=True, slots=True)
class Standing:
    """What is left of the lines of an invoice."""

    lines: tuple[LineStanding, ...]

    @property
    def left(self) -> Parts:
        """The parts that are left of all lines."""
        return total_of(self.by_line)

    @property
    def by_line(self) -> tuple[LineParts, ...]:
        """The parts that are left of each line."""
        return tuple(LineParts(each.line, each.left) for each in self.lines)

    @property
    def recognised(self) -> int:
        """What was earned of all lines, given back or not."""
        return sum(each.recognised for each in self.lines)

    @property
    def last(self) -> datetime | None:
        """The instant up to which something was earned last."""
        return max((each.last for each in self.lines if each.last is not None), default=None)


# Lines of earlier releases have the period of their cycle. Service ends where the cycle is cut, and
# where the subscription is canceled within it.
_STANDING = text(
    """
    SELECT l.invoice_id, l.line, l.amount AS net, l.tax, w.starts,
           CASE WHEN i.subscription_id IS NULL THEN w.ends
                ELSE least(w.ends, (SELECT min(k.cut_at) FROM cycle_cuts k
                                     WHERE k.subscription_id = i.subscription_id
                                       AND k.cut_at > w.starts),
                           (SELECT s.canceled_at FROM subscriptions s
                             WHERE s.id = i.subscription_id AND s.canceled_at > w.starts)) END
             AS ends,
           r.recognised, r.last,
           g.recognised AS back_recognised, g.deferred AS back_deferred, g.tax AS back_tax
      FROM invoice_lines l
      JOIN invoices i ON i.id = l.invoice_id
      LEFT JOIN cycles c ON c.id = i.cycle_id AND i.facts IS NULL
     CROSS JOIN LATERAL (
           SELECT CASE WHEN NOT l.earned_at_issue
                       THEN coalesce(l.period_start, c.period_start) END AS starts,
                  CASE WHEN NOT l.earned_at_issue
                       THEN coalesce(l.period_end, c.period_end) END AS ends) w
     CROSS JOIN LATERAL (
           SELECT coalesce(sum(amount), 0)::bigint AS recognised, max(through) AS last
             FROM revenue_recognitions
            WHERE invoice_id = l.invoice_id AND line = l.line) r
     CROSS JOIN LATERAL (
           SELECT coalesce(sum(recognised), 0)::bigint AS recognised,
                  coalesce(sum(deferred), 0)::bigint AS deferred,
                  coalesce(sum(tax), 0)::bigint AS tax
             FROM standing_line_parts
            WHERE invoice_id = l.invoice_id AND line = l.line AND kind <> 'write_off') g
     WHERE l.invoice_id = ANY(CAST(:ids AS uuid[]))
     ORDER BY l.invoice_id, l.line
    """
)


def standings(conn: Connection, invoice_ids: Sequence[UUID]) -> dict[UUID, Standing]:
    """Return what is left of (locked) invoices."""
    lines: dict[UUID, list[LineStanding]] = {}
    for invoice_id, *row in conn.execute(_STANDING, {"ids": list(invoice_ids)}):
        lines.setdefault(invoice_id, []).append(_standing(*row))
    return {invoice_id: Standing(tuple(found)) for invoice_id, found in lines.items()}


def _standing(
    line: int,
    net: int,
    tax: int,
    starts: datetime | None,
    ends: datetime,
    recognised: int,
    last: datetime | None,
    back_recognised: int,
    back_deferred: int,
    back_tax: int,
) -> LineStanding:
    left = Parts(
        max(0, recognised - back_recognised), net - recognised - back_deferred, tax - back_tax
    )
    period = None if starts is None else Period(starts, ends)
    return LineStanding(line, net, period, left, recognised, last)


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


def parts_left(conn: Connection, payment: Payment) -> tuple[LineParts, ...]:
    """Return what a (locked) payment's money consists of now, what was given back taken off.

    Locks its invoice. A one-off charge has none: all of it was earned, and is of no line. So it is
    with credit that was bought: what was used of it was earned elsewhere, and what wasn't goes back
    with the money.
    """
    if payment.invoice_id is None or conn.execute(_IS_TOP_UP, {"id": payment.invoice_id}).scalar():
        back = int(conn.execute(_BACK, {"payment": payment.id}).scalar_one())
        left = Parts(recognised=max(0, payment.amount_captured - back))
        return (LineParts(NO_LINE, left),)
    return standings(conn, [payment.invoice_id])[payment.invoice_id].by_line


def record(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert steps of revenue: invoice_id, line, through, amount (negative where reversed)."""
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
    """Return what was earned of an invoice's lines, oldest first."""
    query = text("SELECT * FROM revenue_recognitions WHERE invoice_id = :id ORDER BY through, line")
    return [_recognition_of(row) for row in conn.execute(query, {"id": invoice_id})]
