"""Invoices, with their lines and their payment; issued of lines, and voided."""

from typing import Literal

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse

from billing.api import cursors, invoice_schemas, request_schemas, schemas
from billing.api.routes.common import (
    BEARER,
    Charger,
    Cursor,
    IdempotencyKey,
    InPath,
    Limit,
    Narrowed,
    Reader,
    UsesServices,
    changed,
    listed,
    made,
    missing,
    narrowed,
    respond,
    shown,
)
from billing.flows.invoices.ordering import InvoiceOrder, OrderedLine, ServiceDays
from billing.flows.service import views
from billing.plans.taxes import TaxTerms
from billing.presenters.decisions import with_sentence
from billing.queries import lists
from billing.queries.credit_notes import left_of_lines
from billing.queries.invoices import invoice as find_invoice
from billing.queries.invoices import lines as lines_of
from billing.queries.payments import payment_of_invoice
from billing.queries.taxes import of_invoice as taxes_of

router = APIRouter(prefix="/v1", tags=["books"], dependencies=[Depends(BEARER)])


@router.post("/invoices", status_code=201, responses=made(invoice_schemas.InvoiceBody))
def create_invoice(
    new: request_schemas.NewInvoiceBody,
    key: IdempotencyKey,
    visitor: Charger,
    services: UsesServices,
) -> JSONResponse:
    """Invoice a customer for lines of yours, once; a worker collects it."""
    days = new.service
    order = InvoiceOrder(
        customer=new.customer,
        currency=new.currency,
        lines=[OrderedLine(line.text, line.amount) for line in new.lines],
        service=None if days is None else ServiceDays(days.first, days.last, days.zone),
        tax=TaxTerms(new.tax_class, new.tax_included or None),
    )
    answer = services.invoices.create(visitor.caller, key, order, new.reason)
    return respond(services, answer, noun="invoice", at="/v1/invoices")


@router.post("/invoices/{invoice}/void", responses=changed(invoice_schemas.InvoiceBody))
def void_invoice(
    invoice: InPath,
    new: request_schemas.WhyBody,
    key: IdempotencyKey,
    visitor: Charger,
    services: UsesServices,
) -> JSONResponse:
    """Void an open invoice of no subscription, by id or number."""
    answer = services.invoices.void(visitor.caller, key, invoice, new.reason)
    return respond(services, answer, noun="invoice")


@router.get("/invoices", responses=shown(schemas.Page[invoice_schemas.InvoiceBody]))
def list_invoices(
    _: Reader,
    services: UsesServices,
    customer: Narrowed = None,
    subscription: Narrowed = None,
    status: Literal["open", "paid", "void", "uncollectible"] | None = None,
    limit: Limit = cursors.LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> JSONResponse:
    """List invoices, the newest first."""
    with services.engine.connect() as conn:
        equal = narrowed(conn, customer, subscription, status=status)
        return listed(conn, lists.INVOICES, views.invoice, limit=limit, cursor=cursor, equal=equal)


@router.get("/invoices/{invoice}", responses=shown(invoice_schemas.InvoiceWithLinesBody))
def show_invoice(invoice: InPath, _: Reader, services: UsesServices) -> JSONResponse:
    """Show an invoice, by id or number, with its lines and its payment."""
    with services.engine.connect() as conn:
        found = find_invoice(conn, invoice)
        if found is None:
            missing("invoice", invoice)
        lines = lines_of(conn, found.id)
        left = {each.line: each.left for each in left_of_lines(conn, found.id)}
        payment = payment_of_invoice(conn, found.id)
        levied = taxes_of(conn, found.id)
    return JSONResponse(
        views.invoice(found)
        | {
            "lines": [views.invoice_line(line, left[line.line]) for line in lines],
            "taxes": [views.invoice_tax(tax) for tax in levied],
            "payment": None if payment is None else with_sentence(views.payment(payment)),
        }
    )
