"""Invoices, with their lines and their payment."""

from typing import Literal

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse

from billing.api import cursors, schemas
from billing.api.routes.common import (
    BEARER,
    Cursor,
    InPath,
    Limit,
    Narrowed,
    Reader,
    UsesServices,
    listed,
    missing,
    narrowed,
    shown,
)
from billing.flows.service import views
from billing.presenters.decisions import with_sentence
from billing.queries import lists
from billing.queries.credit_notes import left_of_lines
from billing.queries.invoices import invoice as find_invoice
from billing.queries.invoices import lines as lines_of
from billing.queries.payments import payment_of_invoice

router = APIRouter(prefix="/v1", tags=["books"], dependencies=[Depends(BEARER)])


@router.get("/invoices", responses=shown(schemas.Page[schemas.InvoiceBody]))
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


@router.get("/invoices/{invoice}", responses=shown(schemas.InvoiceWithLinesBody))
def show_invoice(invoice: InPath, _: Reader, services: UsesServices) -> JSONResponse:
    """Show an invoice, by id or number, with its lines and its payment."""
    with services.engine.connect() as conn:
        found = find_invoice(conn, invoice)
        if found is None:
            missing("invoice", invoice)
        lines = lines_of(conn, found.id)
        left = {each.line: each.left for each in left_of_lines(conn, found.id)}
        payment = payment_of_invoice(conn, found.id)
    return JSONResponse(
        views.invoice(found)
        | {
            "lines": [views.invoice_line(line, left[line.line]) for line in lines],
            "payment": None if payment is None else with_sentence(views.payment(payment)),
        }
    )
