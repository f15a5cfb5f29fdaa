"""Computing the lines of credit notes again, from the facts of their invoices and earlier notes."""

from collections.abc import Iterator
from itertools import groupby
from operator import attrgetter

from sqlalchemy import Connection

from billing.pricing import Facts, InvoiceDraft, Noted, Return, credit_note, draft
from billing.rules.promises import Finding, FindingKind
from billing.store.promises import noted
from billing.store.promises.noted import LineOfNote

_ROWS_A_FETCH = 2_000


def differing(conn: Connection) -> Iterator[Finding]:
    """Yield the lines of notes that aren't what their invoices make them.

    Invoices of earlier releases have no facts, and those that can't be read are findings of their
    own.
    """
    rows = noted.lines_with_facts(conn, _ROWS_A_FETCH)
    for _, lines in groupby(rows, key=attrgetter("invoice_id")):
        of_one = list(lines)
        try:
            invoice = draft(Facts.from_document(of_one[0].facts))
        except (ValueError, ArithmeticError, LookupError):
            continue
        for line in of_one:
            stored = (line.discount, line.net, line.tax)
            computed = _computed(invoice, line)
            if computed != stored:
                told = {"stored": stored, "computed": computed}
                named = {"number": line.number, "line": line.line}
                yield Finding(FindingKind.NOTE_AGAINST_FACTS, named | told)


def _computed(invoice: InvoiceDraft, line: LineOfNote) -> tuple[int, int, int] | None:
    """Return discount, net and tax of a line of a note; None where it can't give that much back."""
    index = line.line - 1
    before = Noted(index, line.all_gross - line.gross)
    try:
        (made,) = credit_note(invoice, [before], [Return(index, line.gross)]).lines
    except (ValueError, LookupError):
        return None
    return made.discount, made.net, made.tax
