"""Credit notes and their lines: what was given back of invoices.

The caller that adds one has locked the invoice, and before it the invoice's payment.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict
from uuid import UUID

from sqlalchemy import Connection, insert, or_, select, text

from billing.rules.credit_notes import Destination
from billing.rules.money import Money
from billing.rules.refunds import Parts, refundable
from billing.store import paging
from billing.store.payments.disputes import IN_DISPUTE
from billing.store.rows import reader
from billing.store.tables import credit_note_lines, credit_notes


@dataclass(frozen=True, slots=True)
class CreditNote:
    """One credit note as stored, in minor units; `recognised` and `deferred` make its net."""

    id: UUID
    number: str
    invoice_id: UUID
    subscription_id: UUID | None
    customer_id: UUID
    currency: str
    net: int
    tax: int
    total: int
    discount: int
    recognised: int
    deferred: int
    destination: Destination
    reason: str
    actor: str
    created_at: datetime

    @property
    def money(self) -> Money:
        """What it gives back."""
        return Money(self.total, self.currency)

    @property
    def parts(self) -> Parts:
        """What it gives back of what was earned, of what wasn't, and of the tax."""
        return Parts(self.recognised, self.deferred, self.tax)


class NewNote(TypedDict):
    """The columns of a new credit note."""

    id: UUID
    series: str
    n: int
    invoice_id: UUID
    subscription_id: UUID | None
    customer_id: UUID
    currency: str
    net: int
    tax: int
    discount: int
    recognised: int
    deferred: int
    destination: Destination
    reason: str
    actor: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class CreditNoteLine:
    """What a note gives back of a line of its invoice, in minor units.

    `n` counts the notes of that line; the amounts with `all_` are of all of them up to this one.
    """

    note_id: UUID
    invoice_id: UUID
    line: int
    n: int
    gross: int
    discount: int
    net: int
    tax: int
    all_gross: int
    all_discount: int
    all_net: int
    all_tax: int


@dataclass(frozen=True, slots=True)
class GivenBack:
    """What an invoice came to and what was given back of it, in minor units.

    `noted` by credit notes, `outside` of it not through the provider; `refunded` by refunds that
    no note asked for; `in_dispute` is what cardholders' banks hold of its payment, or have taken.
    """

    total: int
    currency: str
    noted: int
    outside: int
    refunded: int
    in_dispute: int

    @property
    def left(self) -> Money:
        """How much may still be given back, also as credit."""
        given = Money(self.noted + self.refunded, self.currency)
        held = Money(self.in_dispute, self.currency)
        return refundable(Money(self.total, self.currency), given, held)


_note_of = reader(CreditNote)
_line_of = reader(CreditNoteLine)

_LOCK_SERIES = text("SELECT pg_advisory_xact_lock(hashtextextended('credit notes ' || :series, 0))")
_LAST = text("SELECT coalesce(max(n), 0) FROM credit_notes WHERE series = :series")


def next_n(conn: Connection, series: str) -> int:
    """Return the next number of a series, which is locked until the transaction ends."""
    conn.execute(_LOCK_SERIES, {"series": series})
    return int(conn.execute(_LAST, {"series": series}).scalar_one()) + 1


def add(conn: Connection, note: NewNote, lines: Sequence[CreditNoteLine]) -> CreditNote:
    """Insert a credit note with its lines; the database checks them against the invoice's."""
    row = conn.execute(insert(credit_notes).values(**note).returning(credit_notes)).one()
    columns = [column.name for column in credit_note_lines.c if column.computed is None]
    values = [{name: getattr(line, name) for name in columns} for line in lines]
    conn.execute(insert(credit_note_lines).values(values))
    return _note_of(row)


def get(conn: Connection, note_id: UUID) -> CreditNote | None:
    """Return one credit note."""
    row = conn.execute(select(credit_notes).where(credit_notes.c.id == note_id)).one_or_none()
    return None if row is None else _note_of(row)


def find(conn: Connection, reference: str) -> CreditNote | None:
    """Return the credit note with this id or number."""
    try:
        match = or_(credit_notes.c.id == UUID(reference), credit_notes.c.number == reference)
    except ValueError:
        match = credit_notes.c.number == reference
    row = conn.execute(select(credit_notes).where(match)).one_or_none()
    return None if row is None else _note_of(row)


def lines(conn: Connection, note_id: UUID) -> list[CreditNoteLine]:
    """Return the lines of a note, in the order of the invoice's."""
    query = select(credit_note_lines).where(credit_note_lines.c.note_id == note_id)
    return [_line_of(row) for row in conn.execute(query.order_by(credit_note_lines.c.line))]


_LAST_OF_LINES = text(
    """
    SELECT DISTINCT ON (line) * FROM credit_note_lines
     WHERE invoice_id = :invoice ORDER BY line, n DESC
    """
)


def last_of_lines(conn: Connection, invoice_id: UUID) -> Mapping[int, CreditNoteLine]:
    """Return the last line of a note, with the sums so far, by the invoice's line that it is of."""
    rows = conn.execute(_LAST_OF_LINES, {"invoice": invoice_id})
    return {row.line: _line_of(row) for row in rows}


_GIVEN_BACK = text(
    """
    SELECT i.total, i.currency, coalesce(n.noted, 0)::bigint AS noted,
           coalesce(n.outside, 0)::bigint AS outside, coalesce(r.refunded, 0)::bigint AS refunded,
           d.in_dispute
      FROM invoices i
     CROSS JOIN LATERAL (SELECT sum(total) AS noted,
                                sum(total) FILTER (WHERE destination = 'outside') AS outside
                           FROM credit_notes WHERE invoice_id = i.id) n
     CROSS JOIN LATERAL (SELECT sum(f.amount) AS refunded
                           FROM refunds f JOIN payments p ON p.id = f.payment_id
                          WHERE p.invoice_id = i.id AND f.note_id IS NULL
                            AND f.state NOT IN ('failed', 'canceled')) r
     CROSS JOIN LATERAL ({in_dispute}) d
     WHERE i.id = :invoice
    """.replace("{in_dispute}", IN_DISPUTE)
)
_given_back = reader(GivenBack)


def given_back(conn: Connection, invoice_id: UUID, payment_id: UUID | None) -> GivenBack:
    """Return what was given back of an invoice, and what is in dispute of its payment, if any."""
    values = {"invoice": invoice_id, "payment": payment_id}
    return _given_back(conn.execute(_GIVEN_BACK, values).one())


def page(
    conn: Connection,
    *,
    invoice_id: UUID | None = None,
    customer_id: UUID | None = None,
    subscription_id: UUID | None = None,
    destination: str | None = None,
    limit: int = 50,
    after: UUID | None = None,
) -> list[CreditNote]:
    """Return up to `limit` credit notes in order of creation, after the id `after`."""
    equal = {
        "invoice_id": invoice_id,
        "customer_id": customer_id,
        "subscription_id": subscription_id,
        "destination": destination,
    }
    rows = paging.page(conn, credit_notes, equal, limit=limit, after=after)
    return [_note_of(row) for row in rows]
