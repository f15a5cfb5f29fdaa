"""`billing invoices`: what was billed, and for what; issuing and voiding one-off invoices."""

from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from billing.cli.options import confirm, currency_option, lasting, paged, reason_option, word_option
from billing.cli.output import Output, output_option, talk
from billing.cli.records import CREDIT_NOTES, INVOICE_TAXES, INVOICES, LINES, plain, write_page
from billing.cli.references import find
from billing.cli.session import Session, person
from billing.errors import BadInput

if TYPE_CHECKING:
    from billing.flows.invoices.ordering import OrderedLine, ServiceDays
    from billing.pricing import InvoiceDraft

DAY = click.DateTime(["%Y-%m-%d"])
_STATUSES = ("open", "paid", "void", "uncollectible")


@click.group()
def invoices() -> None:
    """What was billed, and for what."""


@invoices.command("create")
@click.argument("customer")
@click.option(
    "--line", "lines", metavar="TEXT=AMOUNT", multiple=True, required=True,
    help='What is invoiced, like "Set-up=199.00"; may come several times.',
)  # fmt: skip
@currency_option
@click.option("--from", "first", type=DAY, metavar="DATE", help="The first day of the service.")
@click.option("--to", "last", type=DAY, metavar="DATE", help="The last day of the service.")
@click.option("--zone", default="UTC", show_default=True, help="The time zone of these days.")
@click.option(
    "--id", "invoice_id", type=click.UUID, metavar="UUID",
    help="Your id of it; a repetition issues nothing more.",
)  # fmt: skip
@click.option("--tax-class", metavar="CLASS", help="The class of its taxes; else the usual one.")
@click.option("--tax-included", is_flag=True, help="The amounts contain the tax.")
@reason_option
@lasting
@output_option
@click.pass_obj
def create(
    session: Session,
    customer: str,
    lines: tuple[str, ...],
    currency: str,
    first: datetime | None,
    last: datetime | None,
    zone: str,
    invoice_id: UUID | None,
    tax_class: str | None,
    tax_included: bool,
    reason: str,
    dry_run: bool,
    yes: bool,
    output: Output,
) -> None:
    """Invoice a customer for lines of your own, beside their subscriptions.

    It is collected as other invoices are: by credit, then from the payment method, with the ladder
    of the configuration. Without --from and --to it is earned at once.
    """
    from billing.flows.invoices import ordering
    from billing.ids import new_id
    from billing.plans.taxes import TaxTerms
    from billing.rules.money import Money

    with session.connect() as conn:
        customer_id = find(conn, "customer", customer)
    order = ordering.InvoiceOrder(
        customer=str(customer_id),
        currency=currency.upper(),
        lines=[_line(each, currency.upper()) for each in lines],
        service=_service(first, last, zone),
        tax=TaxTerms(tax_class, tax_included or None),
    )
    own, policy = invoice_id or new_id(), session.runtime.policy

    def tried() -> "InvoiceDraft":
        with session.engine.connect() as conn:  # and rolled back
            return ordering.drafted(conn, order, now=session.now(), policy=policy).draft

    drafted = session.with_taxes(tried)
    total, due = (Money(amount, drafted.currency) for amount in (drafted.total, drafted.due))
    words = f"invoice {total} to customer {customer_id}, of which {due} are due after credit"
    record: dict[str, Any] = {
        "action": "invoice",
        "dry_run": dry_run,
        "invoice_id": None,
        "number": None,
        "customer_id": customer_id,
        "total": drafted.total,
        "credit": drafted.total - drafted.due,
        "due": drafted.due,
        "currency": drafted.currency,
        "lines": [
            {"line": n, "description": line.description, "amount": line.net}
            for n, line in enumerate(drafted.lines, start=1)
        ],
    }
    if dry_run:
        output.message(record, f"would {words}")
        return
    talk(f"this will {words}")
    confirm("Issue the invoice?", yes=yes)
    now = session.now()

    def issued() -> dict[str, Any]:
        detail: dict[str, Any] = {}
        with session.audited("invoice.create", customer_id, reason, detail) as conn:
            made = ordering.create(conn, order, own, now=now, policy=policy)
            detail |= {"invoice": str(made.id), "amount": made.total, "currency": made.currency}
        return {
            "invoice_id": made.id,
            "number": made.number,
            "due": made.due,
            "credit": made.credit,
        }

    told = session.with_taxes(issued)
    output.message({**record, **told}, f"invoice {told['number']} of {total} is issued")


def _line(typed: str, currency: str) -> "OrderedLine":
    from billing.cli.amounts import read_amount
    from billing.flows.invoices.ordering import OrderedLine

    text, separator, amount = typed.rpartition("=")
    if not separator:
        raise BadInput(
            f"{typed!r} is no line", where="--line", remedy='write it like "Set-up=199.00"'
        )
    return OrderedLine(text.strip(), read_amount(amount.strip(), currency, "--line").amount)


def _service(first: datetime | None, last: datetime | None, zone: str) -> "ServiceDays | None":
    from billing.flows.invoices.ordering import ServiceDays

    if first is None and last is None:
        return None
    if first is None or last is None:
        raise BadInput("a service has a first and a last day", remedy="give both --from and --to")
    return ServiceDays(first.date(), last.date(), zone)


@invoices.command("void")
@click.argument("invoice")
@reason_option
@lasting
@output_option
@click.pass_obj
def void(
    session: Session, invoice: str, reason: str, dry_run: bool, yes: bool, output: Output
) -> None:
    """Void an open invoice that belongs to no subscription: the customer owes nothing for it.

    Credit that paid a part of it can be used again.
    """
    from billing.flows.invoices import voiding
    from billing.rules.money import Money

    with session.connect() as conn:
        invoice_id = find(conn, "invoice", invoice)
        found, _ = voiding.voidable(conn, invoice_id)
        conn.rollback()
    due = Money(found.due, found.currency)
    words = f"void invoice {found.number}, of which {due} are due"
    record: dict[str, Any] = {
        "action": "void",
        "dry_run": dry_run,
        "invoice_id": invoice_id,
        "number": found.number,
        "due": found.due,
        "currency": found.currency,
    }
    if dry_run:
        output.message(record, f"would {words}")
        return
    talk(f"this will {words}")
    confirm("Void it?", yes=yes)
    now, detail = session.now(), {"amount": found.total, "currency": found.currency}
    with session.audited("invoice.void", invoice_id, reason, detail) as conn:
        voiding.void(conn, invoice_id, now=now, actor=person(), why=reason)
    output.message(record, f"invoice {found.number} is void")


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
    from billing.queries import credit_notes, taxes
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
        levied = [
            {**plain(tax), "currency": row.currency} for tax in taxes.of_invoice(conn, invoice_id)
        ]
    record = {**plain(row), "lines": lines, "taxes": levied, "credit_notes": notes}
    output.record(record, {"lines": LINES, "taxes": INVOICE_TAXES, "credit_notes": CREDIT_NOTES})
