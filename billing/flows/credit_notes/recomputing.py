"""Computing the lines of credit notes again, from the facts of their invoices and earlier notes."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import attrgetter

from sqlalchemy import Connection

from billing.pricing import Facts, InvoiceDraft, Noted, NoteDraft, Return, credit_note, draft
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
        yield from _of_taxes(invoice, of_one)
        for line in of_one:
            stored = (line.discount, line.net, line.tax)
            computed = _computed(invoice, line)
            if computed != stored:
                told = {"stored": stored, "computed": computed}
                named = {"number": line.number, "line": line.line}
                yield Finding(FindingKind.NOTE_AGAINST_FACTS, named | told)


def _of_taxes(invoice: InvoiceDraft, lines: Sequence[LineOfNote]) -> Iterator[Finding]:
    """Yield the notes of an invoice that take back other shares of its taxes."""
    stored = {line.number: line.taxes or [] for line in lines}
    computed: dict[str, dict[int, list[int]]] = {number: {} for number in stored}
    for line in lines:
        made = _made(invoice, line)
        for each in () if made is None else made.taxes:
            sums = computed[line.number].setdefault(each.tax + 1, [0, 0])
            sums[0] += each.base
            sums[1] += each.amount
    for number, taxes in computed.items():
        expected = [[n, *sums] for n, sums in sorted(taxes.items())]
        if expected != stored[number]:
            told = {"stored": stored[number], "computed": expected}
            yield Finding(FindingKind.NOTE_AGAINST_FACTS, {"number": number, "line": 0} | told)


def _computed(invoice: InvoiceDraft, line: LineOfNote) -> tuple[int, int, int] | None:
    """Return discount, net and tax of a line of a note; None where it can't give that much back."""
    note = _made(invoice, line)
    if note is None:
        return None
    (made,) = note.lines
    return made.discount, made.net, made.tax


def _made(invoice: InvoiceDraft, line: LineOfNote) -> NoteDraft | None:
    """Return the note of a line alone; None where it can't give that much back."""
    index = line.line - 1
    before = Noted(index, line.all_gross - line.gross)
    try:
        return credit_note(invoice, [before], [Return(index, line.gross)])
    except (ValueError, LookupError):
        return None
