"""What refunds, lost disputes, write-offs and credit notes take of the lines of invoices.

Each row has the parts of one line: earned, still to be earned, and tax. Rows are never changed:
whether one stands follows from its refund, its dispute or its invoice.
"""

from collections.abc import Sequence
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Connection

from billing.rules.line_parts import NO_LINE, LineParts
from billing.store.bulk import bulk_insert
from billing.store.tables import line_parts


class PartsOf(StrEnum):
    """What takes parts of lines."""

    CREDIT_NOTE = "credit_note"
    REFUND = "refund"
    DISPUTE = "dispute"
    WRITE_OFF = "write_off"
    """Its id is that of the invoice."""


def add(
    conn: Connection,
    of: PartsOf,
    source_id: UUID,
    invoice_id: UUID | None,
    lines: Sequence[LineParts],
    *,
    nth: int = 1,
) -> None:
    """Write down what is taken of the lines of a (locked) invoice.

    `nth` counts the losses of one dispute and the write-offs of one invoice. What is of no line
    isn't written down.
    """
    rows = [
        {
            "kind": str(of),
            "source_id": source_id,
            "nth": nth,
            "invoice_id": invoice_id,
            "line": each.line,
            "recognised": each.parts.recognised,
            "deferred": each.parts.deferred,
            "tax": each.parts.tax,
        }
        for each in lines
        if each.line != NO_LINE
    ]
    bulk_insert(conn, line_parts, rows)
