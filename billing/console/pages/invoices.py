"""One invoice: its lines, how they came about, and what became of it."""

from typing import Final

from sqlalchemy import Connection
from starlette.responses import Response

from billing.console import references, tables, words
from billing.console.pages.lists import customer_of, subscription_of
from billing.console.requests import ConsolePage, PageRequest
from billing.console.tables import Cell, PageTable
from billing.flows.service.api_keys import Scope
from billing.presenters import explain as explained
from billing.presenters.explain import ExplainedSection
from billing.queries import invoices
from billing.queries.explain import explain_invoice, explain_payment
from billing.queries.invoices import InvoiceLine, ListedInvoice


def _invoice(request: PageRequest) -> Response:
    request.query.only()
    with request.connect() as conn:
        found = references.find(conn, "invoice", request.path["reference"])
        row = invoices.invoices(conn, id=found)[0]
        lines = invoices.lines(conn, found)
        sections = _sections(conn, request, row)
    return request.page(
        "invoice.html",
        section="invoices",
        row=row,
        facts=_facts(row),
        sections=sections,
        lines=PageTable(
            ("line", "what", "quantity", "unit", "discount", "net", "tax", "from", "up to"),
            [_line(each, row.currency) for each in lines],
            ("line", "quantity", "unit", "discount", "net", "tax"),
        ),
    )


def _sections(conn: Connection, request: PageRequest, row: ListedInvoice) -> list[ExplainedSection]:
    """Explain by the payment; an invoice of a cycle without one is explained by its lines alone."""
    if row.payment_id is not None:
        return explained.sections(explain_payment(conn, row.payment_id, request.now))
    if row.subscription_id is None:
        return explained.sections(explain_invoice(conn, row.id, request.now))
    return []


def _facts(row: ListedInvoice) -> list[tuple[str, Cell]]:
    return [
        ("customer", customer_of(row)),
        ("subscription", subscription_of(row)),
        ("status", tables.state(row.status)),
        ("issued at", tables.plain(row.issued_at)),
        ("period from", tables.plain(row.period_start)),
        ("up to", tables.plain(row.period_end)),
        ("net", tables.money(row.net, row.currency)),
        ("tax", tables.money(row.tax, row.currency)),
        ("total", tables.money(row.total, row.currency)),
        ("paid by credit", tables.money(row.credit, row.currency)),
        ("due", tables.money(row.due, row.currency)),
        ("payment", tables.thing("payment", row.payment_id, str(row.payment_state or "").lower())),
    ]  # fmt: skip


def _line(line: InvoiceLine, currency: str) -> tuple[Cell, ...]:
    return (
        tables.plain(line.line),
        Cell(words.text(line.description)),
        tables.plain(line.quantity),
        tables.money(line.unit_amount, currency),
        tables.money(line.discount, currency),
        tables.money(line.amount, currency),
        tables.money(line.tax, currency),
        tables.plain(line.period_start),
        tables.plain(line.period_end),
    )


PAGES: Final = (ConsolePage("GET", "/invoices/{reference}", Scope.READ, _invoice),)
