"""Credit notes for people: with their invoice, and what became of what they give back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from billing.queries.paging import page
from billing.rules.refunds import RefundState
from billing.store.payments.credit_notes import CreditNote, find, lines
from billing.store.rows import reader

__all__ = [
    "CreditNote",
    "ListedNote",
    "NotedLine",
    "credit_note",
    "credit_notes",
    "find",
    "left_of_lines",
    "lines",
]


@dataclass(frozen=True, slots=True)
class ListedNote(CreditNote):
    """A credit note with its invoice's number, and its refund and its grant where it has them."""

    invoice_number: str
    refund_id: UUID | None
    refund_state: RefundState | None
    grant_id: UUID | None


@dataclass(frozen=True, slots=True)
class NotedLine:
    """What credit notes gave back of an invoice's line, and left of it, as its `gross`."""

    line: int
    given_back: int
    left: int


_listed = reader(ListedNote)
_left = reader(NotedLine)

_NOTES: Final = """
SELECT c.*, i.number AS invoice_number, r.id AS refund_id, r.state AS refund_state,
       g.id AS grant_id
  FROM credit_notes c
  JOIN invoices i ON i.id = c.invoice_id
  LEFT JOIN refunds r ON r.note_id = c.id
  LEFT JOIN credit_grants g ON g.note_id = c.id
 WHERE {where}
 ORDER BY c.id LIMIT :limit
"""
_CONDITIONS: Final = {
    "id": "c.id = :id",
    "invoice_id": "c.invoice_id = :invoice_id",
    "customer_id": "c.customer_id = :customer_id",
    "subscription_id": "c.subscription_id = :subscription_id",
    "destination": "c.destination = :destination",
    "after": "c.id > :after",
}
_LEFT: Final = text(
    """
    SELECT l.line, coalesce(max(n.all_gross), 0) AS given_back,
           l.gross - coalesce(max(n.all_gross), 0) AS left
      FROM invoice_lines l
      LEFT JOIN credit_note_lines n ON n.invoice_id = l.invoice_id AND n.line = l.line
     WHERE l.invoice_id = :invoice GROUP BY l.line, l.gross ORDER BY l.line
    """
)


def credit_notes(
    conn: Connection,
    *,
    invoice_id: UUID | None = None,
    customer_id: UUID | None = None,
    subscription_id: UUID | None = None,
    destination: str | None = None,
    limit: int = 50,
    after: UUID | None = None,
) -> list[ListedNote]:
    """Return credit notes in order of creation; None doesn't narrow."""
    return page(
        conn,
        _NOTES,
        _CONDITIONS,
        _listed,
        limit=limit,
        invoice_id=invoice_id,
        customer_id=customer_id,
        subscription_id=subscription_id,
        destination=destination,
        after=after,
    )


def credit_note(conn: Connection, note_id: UUID) -> ListedNote | None:
    """Return one credit note."""
    found = page(conn, _NOTES, _CONDITIONS, _listed, limit=1, id=note_id)
    return found[0] if found else None


def left_of_lines(conn: Connection, invoice_id: UUID) -> Sequence[NotedLine]:
    """Return what credit notes left of each line of an invoice, in their order."""
    return [_left(row) for row in conn.execute(_LEFT, {"invoice": invoice_id})]
