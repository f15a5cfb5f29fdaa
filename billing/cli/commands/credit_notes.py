"""`billing credit-notes`: giving back what was invoiced and paid, line by line."""

import re
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from billing.cli.options import confirm, lasting, paged, reason_option, word_option
from billing.cli.output import Output, output_option, talk
from billing.cli.records import CREDIT_NOTES, NOTE_LINES, plain, write_page
from billing.cli.references import find
from billing.cli.session import Session, person
from billing.errors import BadInput
from billing.rules.credit_notes import Destination

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from billing.flows.credit_notes.drafting import Asked, DraftedNote
    from billing.queries.credit_notes import CreditNote

_LINE = re.compile(r"([1-9][0-9]{0,3})(?:=(.+))?", re.ASCII)
_SHARE = re.compile(r"([1-9][0-9]{0,5})/([1-9][0-9]{0,5})", re.ASCII)


@click.group("credit-notes")
def credit_notes() -> None:
    """Giving back what was invoiced and paid, line by line."""


@credit_notes.command("create")
@click.argument("invoice")
@click.option(
    "--line",
    "lines",
    metavar="N[=AMOUNT]",
    multiple=True,
    help="A line by its number, and how much of it, like 1=5.00; all that is left if not given.",
)
@click.option("--all", "whole", is_flag=True, help="All that is left of every line.")
@click.option("--share", metavar="PART/WHOLE", help="A share of every line, like 17/31.")
@click.option(
    "--to",
    "destination",
    type=click.Choice([str(each) for each in Destination]),
    required=True,
    help="credit: for later invoices. refund: to the payment method. outside: it was paid by other"
    " means.",
)
@reason_option
@lasting
@output_option
@click.pass_obj
def create(
    session: Session,
    invoice: str,
    lines: tuple[str, ...],
    whole: bool,
    share: str | None,
    destination: str,
    reason: str,
    dry_run: bool,
    yes: bool,
    output: Output,
) -> None:
    """Give back a paid invoice, or parts of it, by a credit note with a number of its own.

    What is named of a line is before its discount; the discount and the tax go back with it. It is
    never more than is left of the line, of the invoice and, where money goes back, of its payment.
    """
    from billing.flows.credit_notes import drafting, issuing

    to = Destination(destination)
    with session.connect() as conn:
        invoice_id = find(conn, "invoice", invoice)
        asked = _asked(conn, invoice_id, lines, whole, share)
        drafted = drafting.drafted(conn, invoice_id, asked, to)
        conn.rollback()
    record = _record(drafted, dry_run)
    words = _words(drafted)
    if dry_run:
        output.message(record, f"would {words}")
        return
    talk(f"this will {words}")
    confirm("Issue the credit note?", yes=yes)
    now = session.now()
    detail: dict[str, Any] = {"destination": destination}
    with session.audited("credit_note.create", invoice_id, reason, detail) as conn:
        note = issuing.issue(
            conn, invoice_id, asked, destination=to, reason=reason, actor=person(), now=now
        )
        detail |= {"credit_note": str(note.id), "amount": note.total, "currency": note.currency}
    made = {**record, **_amounts(note), "note_id": note.id, "number": note.number}
    output.message(made, f"credit note {note.number} of {note.money} is issued")


def _asked(
    conn: "Connection", invoice_id: UUID, lines: tuple[str, ...], whole: bool, share: str | None
) -> "Asked":
    from billing.flows.credit_notes.drafting import Asked

    if sum((bool(lines), whole, share is not None)) != 1:
        raise BadInput("say what is given back with --line, --share or --all, one of the three")
    if share is not None:
        return Asked(share=_share(share))
    if whole:
        return Asked()
    return Asked(lines=[_line(conn, invoice_id, each) for each in lines])


def _share(typed: str) -> tuple[int, int]:
    found = _SHARE.fullmatch(typed)
    if found is None:
        raise BadInput(f"{typed!r} is no share", where="--share", remedy="write it like 17/31")
    return int(found[1]), int(found[2])


def _line(conn: "Connection", invoice_id: UUID, typed: str) -> Any:
    from billing.cli.amounts import read_amount
    from billing.pricing import Return
    from billing.queries import invoices as queries

    found = _LINE.fullmatch(typed)
    if found is None:
        raise BadInput(f"{typed!r} is no line", where="--line", remedy="write it like 1 or 1=5.00")
    currency = queries.invoices(conn, id=invoice_id)[0].currency
    gross = None if found[2] is None else read_amount(found[2], currency, "--line").amount
    return Return(int(found[1]) - 1, gross)


def _record(drafted: "DraftedNote", dry_run: bool) -> dict[str, Any]:
    note, parts = drafted.note, drafted.parts
    return {
        "action": "credit_note",
        "dry_run": dry_run,
        "note_id": None,
        "number": None,
        "invoice_id": drafted.invoice.id,
        "invoice_number": drafted.invoice.number,
        "destination": str(drafted.destination),
        "net": note.net,
        "tax": note.tax,
        "total": note.total,
        "discount": note.discount,
        "recognised": parts.recognised,
        "deferred": parts.deferred,
        "currency": note.currency,
        "lines": [
            {
                "line": line.line + 1,
                "gross": line.gross,
                "discount": line.discount,
                "net": line.net,
                "tax": line.tax,
                "currency": note.currency,
            }
            for line in note.lines
        ],
    }


def _amounts(note: "CreditNote") -> dict[str, int]:
    """Return what may have changed between the draft and the note."""
    return {"recognised": note.recognised, "deferred": note.deferred}


def _words(drafted: "DraftedNote") -> str:
    from billing.presenters.credit_notes import WHERE
    from billing.rules.money import Money

    note = drafted.note
    lines = ", ".join(
        f"{Money(line.net + line.tax, note.currency)} of line {line.line + 1}"
        for line in note.lines
    )
    return (
        f"give back {Money(note.total, note.currency)} of invoice {drafted.invoice.number}"
        f" {WHERE[drafted.destination]}: {lines}"
    )


@credit_notes.command("list")
@click.option("--invoice", metavar="ID", help="Only those of an invoice.")
@click.option("--customer", metavar="ID", help="Only those of a customer.")
@click.option("--subscription", metavar="ID", help="Only those of a subscription.")
@word_option("--to", Destination, "Only those that go")
@paged
@output_option
@click.pass_obj
def list_(
    session: Session,
    invoice: str | None,
    customer: str | None,
    subscription: str | None,
    to: str | None,
    limit: int,
    after: UUID | None,
    output: Output,
) -> None:
    """List credit notes in order of issue."""
    from billing.queries import credit_notes as queries

    with session.connect() as conn:
        rows = queries.credit_notes(
            conn,
            invoice_id=find(conn, "invoice", invoice) if invoice else None,
            customer_id=find(conn, "customer", customer) if customer else None,
            subscription_id=find(conn, "subscription", subscription) if subscription else None,
            destination=to,
            after=after,
            limit=limit + 1,
        )
    write_page(output, rows, CREDIT_NOTES, limit)


@credit_notes.command("show")
@click.argument("note")
@output_option
@click.pass_obj
def show(session: Session, note: str, output: Output) -> None:
    """Show a credit note, by number or id, with its lines and what became of it."""
    from billing.queries import credit_notes as queries

    with session.connect() as conn:
        note_id = find(conn, "credit note", note)
        row = queries.credit_note(conn, note_id)
        assert row is not None, "a credit note is never deleted"
        lines = [{**plain(line), "currency": row.currency} for line in queries.lines(conn, note_id)]
    output.record({**plain(row), "lines": lines}, {"lines": NOTE_LINES})
