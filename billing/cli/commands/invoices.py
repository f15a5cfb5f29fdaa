"""`billing invoices`: what was billed, and for what."""

from uuid import UUID

import click

from billing.cli.options import paged, word_option
from billing.cli.output import Output, output_option
from billing.cli.records import CREDIT_NOTES, INVOICES, LINES, plain, write_page
from billing.cli.references import find
from billing.cli.session import Session

_STATUSES = ("open", "paid", "void", "uncollectible")


@click.group()
def invoices() -> None:
    """What was billed, and for what."""


@invoices.command("list")
@word_option("--status", _STATUSES, "Only those that are")
@click.option("--subscription", metavar="ID", help="Only those of a subscription.")
@click.option("--customer", metavar="ID", help="Only those of a customer.")
@paged
@output_option
@click.pass_obj
def list_(
    session: Session,
    status: str | None,
    subscription: str | None,
    customer: str | None,
    limit: int,
    after: UUID | None,
    output: Output,
) -> None:
    """List invoices in order of issue."""
    from billing.queries import invoices as queries

    with session.connect() as conn:
        rows = queries.invoices(
            conn,
            status=status,
            subscription_id=find(conn, "subscription", subscription) if subscription else None,
            customer_id=find(conn, "customer", customer) if customer else None,
            after=after,
            limit=limit + 1,
        )
    write_page(output, rows, INVOICES, limit)


@invoices.command("show")
@click.argument("invoice")
@output_option
@click.pass_obj
def show(session: Session, invoice: str, output: Output) -> None:
    """Show an invoice, by number or id, with its lines, its credit notes and what they left."""
    from billing.queries import credit_notes
    from billing.queries import invoices as queries

    with session.connect() as conn:
        invoice_id = find(conn, "invoice", invoice)
        row = queries.invoices(conn, id=invoice_id)[0]
        left = {each.line: each.left for each in credit_notes.left_of_lines(conn, invoice_id)}
        lines = [
            {**plain(line), "left": left[line.line], "currency": row.currency}
            for line in queries.lines(conn, invoice_id)
        ]
        notes = [plain(note) for note in credit_notes.credit_notes(conn, invoice_id=invoice_id)]
    record = {**plain(row), "lines": lines, "credit_notes": notes}
    output.record(record, {"lines": LINES, "credit_notes": CREDIT_NOTES})
