"""Invoices and their lines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, case, func, literal, or_, select, text, update

from billing.pricing import InvoiceKind
from billing.rules.invoices import InvoiceStatus, check_change
from billing.store.bulk import bulk_insert
from billing.store.rows import reader
from billing.store.tables import invoice_discounts, invoice_lines, invoices


@dataclass(frozen=True, slots=True)
class Invoice:
    """One invoice as stored, in minor units; `recognise_at` is when more of it may be earned.

    `facts` is the document that its amounts follow from, None in invoices of earlier releases.
    """

    id: UUID
    kind: InvoiceKind
    cycle_id: UUID | None
    subscription_id: UUID | None
    customer_id: UUID
    number: str
    currency: str
    net: int
    tax: int
    total: int
    discount: int
    credit: int
    due: int
    status: InvoiceStatus
    issued_at: datetime
    resolved_at: datetime | None
    recognise_at: datetime | None
    facts: str | None
    change_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class InvoiceLine:
    """One line of an invoice, in minor units; `amount` is its net.

    `unit_price` is the exact price of a unit, where there is one; `unit_amount` the same where it
    is whole. `detail` has a row for each tier or package: quantity, price, flat part and amount.
    `earned_at_issue`: not over its period.
    """

    invoice_id: UUID
    line: int
    item: str
    description: str
    quantity: Fraction
    unit_amount: int | None
    unit_price: str | None
    gross: int
    discount: int
    amount: int
    tax: int
    tax_included: bool
    period_start: datetime | None
    period_end: datetime | None
    part: int
    whole: int
    detail: Sequence[Sequence[Any]]
    earned_at_issue: bool = False


_of = reader(Invoice)
_stored_line = reader(InvoiceLine)


def _line_of(row: Row[Any]) -> InvoiceLine:
    line = _stored_line(row)
    return replace(line, quantity=Fraction(line.quantity))


def add(
    conn: Connection, rows: Sequence[Mapping[str, Any]], lines: Sequence[Mapping[str, Any]]
) -> None:
    """Issue invoices; the database checks that each one's lines add up to its net."""
    bulk_insert(conn, invoices, rows)
    bulk_insert(conn, invoice_lines, lines)


@dataclass(frozen=True, slots=True)
class InvoiceDiscount:
    """What a redeemed coupon took off an invoice, and of what, in minor units."""

    coupon: str
    base: int
    amount: int


_discount_of = reader(InvoiceDiscount)
_DISCOUNTS = text(
    "SELECT r.coupon, d.base, d.amount FROM invoice_discounts d"
    "  JOIN redemptions r ON r.id = d.redemption_id WHERE d.invoice_id = :id ORDER BY r.at, r.id"
)


def discounts(conn: Connection, invoice_id: UUID) -> list[InvoiceDiscount]:
    """Return what coupons took off an invoice, by redemption."""
    return [_discount_of(row) for row in conn.execute(_DISCOUNTS, {"id": invoice_id})]


def add_discounts(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write what redeemed coupons took off (just issued) invoices."""
    bulk_insert(conn, invoice_discounts, rows)


def move(
    conn: Connection, invoice_id: UUID, from_: InvoiceStatus, to: InvoiceStatus, now: datetime
) -> None:
    """Change the status of an invoice, whose payment is locked. Raises `IllegalChange`.

    An invoice that isn't collected earns nothing more; one that is collected after all is due for
    recognition now.
    """
    check_change(from_, to)
    values: dict[str, Any] = {
        "status": to,
        "resolved_at": None if to is InvoiceStatus.OPEN else now,
    }
    if not to.earns:
        values["recognise_at"] = None
    elif not from_.earns:
        earns = invoices.c.kind != InvoiceKind.TOP_UP
        values["recognise_at"] = case((earns, literal(now, invoices.c.recognise_at.type)))
    conn.execute(update(invoices).where(invoices.c.id == invoice_id).values(**values))


def paid_until(conn: Connection, subscription_id: UUID) -> datetime | None:
    """Return when the last period of a subscription ends that is paid.

    One whose payment was given back, or lost in a dispute, isn't.
    """
    return conn.execute(_PAID_UNTIL, {"subscription": subscription_id}).scalar()


# A change of plan gives back what its period cost before, and its own invoice pays for the rest.
_PAID_UNTIL = text(
    """
    WITH kept AS (
      SELECT i.cycle_id, i.change_id FROM invoices i
       WHERE i.subscription_id = :subscription AND i.status = 'paid'
         AND i.total > (SELECT coalesce(sum(n.total), 0) FROM credit_notes n
                         WHERE n.invoice_id = i.id)
         AND NOT EXISTS (SELECT FROM payments p
                          WHERE p.invoice_id = i.id
                            AND (p.amount_refunded >= p.amount_captured
                                 OR EXISTS (SELECT FROM disputes d
                                             WHERE d.payment_id = p.id AND d.state = 'lost'))))
    SELECT max(coalesce(k.cut_at, c.period_end)) FROM cycles c
      LEFT JOIN cycle_cuts k ON k.subscription_id = c.subscription_id AND k.n = c.n
     WHERE c.subscription_id = :subscription
       AND (c.id IN (SELECT cycle_id FROM kept)
            OR EXISTS (SELECT FROM kept
                         JOIN subscription_changes s ON s.change_id = kept.change_id
                        WHERE s.kind = 'plan' AND s.holds_from >= c.period_start
                          AND s.holds_from < coalesce(k.cut_at, c.period_end)))
    """
)


def find(conn: Connection, reference: str) -> Invoice | None:
    """Return the invoice with this id or number."""
    try:
        match = or_(invoices.c.id == UUID(reference), invoices.c.number == reference)
    except ValueError:
        match = invoices.c.number == reference
    row = conn.execute(select(invoices).where(match)).one_or_none()
    return _of(row) if row else None


def lines(conn: Connection, invoice_id: UUID) -> list[InvoiceLine]:
    """Return an invoice's lines in order."""
    query = select(invoice_lines).where(invoice_lines.c.invoice_id == invoice_id)
    return [_line_of(row) for row in conn.execute(query.order_by(invoice_lines.c.line))]


def count_final(conn: Connection, subscription_id: UUID, number: str) -> int:
    """Count the invoices of usage after a subscription's end that have a number, or follow it."""
    query = select(func.count()).where(
        invoices.c.subscription_id == subscription_id,
        invoices.c.kind == InvoiceKind.FINAL,
        invoices.c.number.startswith(number, autoescape=True),
    )
    return conn.execute(query).scalar_one()


_OF_PERIOD = text(
    """
    SELECT i.* FROM invoices i LEFT JOIN cycles c ON c.id = i.cycle_id
      LEFT JOIN subscription_changes s ON s.change_id = i.change_id
     WHERE i.subscription_id = :subscription AND i.status IN ('open', 'paid')
       AND (c.period_start = :start OR s.holds_from >= :start AND s.holds_from < :end
            AND s.id > (SELECT coalesce(max(u.id), 0) FROM cycle_cuts k
                          JOIN subscription_changes u ON u.change_id = k.change_id
                         WHERE k.subscription_id = :subscription AND k.cut_at = :start))
     ORDER BY i.kind = 'change', s.id
    """
)


def of_period(
    conn: Connection, subscription_id: UUID, start: datetime, end: datetime
) -> list[Invoice]:
    """Return what is billed for a period: its cycle's invoice, and those of changes in it.

    Those that were asked for before the change that cut the period before, at the very instant, are
    of that one.
    """
    values = {"subscription": subscription_id, "start": start, "end": end}
    return [_of(row) for row in conn.execute(_OF_PERIOD, values)]


_LAST_OF_CHANGES = text(
    """
    SELECT coalesce(max(CAST(substr(number, length(:number) + 2) AS integer)), 0) FROM invoices
     WHERE subscription_id = :subscription AND kind = 'change' AND number LIKE :number || '-%'
    """
)


def last_of_changes(conn: Connection, subscription_id: UUID, number: str) -> int:
    """Return the last k of a cycle's changes whose invoices are numbered like "K7Q2MX-0012-k"."""
    values = {"subscription": subscription_id, "number": number}
    return int(conn.execute(_LAST_OF_CHANGES, values).scalar_one())


def of_cycle(conn: Connection, cycle_id: UUID) -> Invoice | None:
    """Return the invoice of a cycle, if it has one."""
    row = conn.execute(select(invoices).where(invoices.c.cycle_id == cycle_id)).one_or_none()
    return _of(row) if row else None
