"""What is only looked at: invoices, plans, the audit log, and this interface itself."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse

from billing.api import cursors, schemas
from billing.api.routes.common import (
    BEARER,
    Admin,
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
from billing.queries.access import audit_entries
from billing.queries.invoices import invoice as find_invoice
from billing.queries.invoices import lines as lines_of
from billing.queries.payments import payment_of_invoice
from billing.queries.subscriptions import published_plans
from plans.terms import Plan

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
        return listed(conn, "invoices", views.invoice, limit=limit, cursor=cursor, equal=equal)


@router.get("/invoices/{invoice}", responses=shown(schemas.InvoiceWithLinesBody))
def show_invoice(invoice: InPath, _: Reader, services: UsesServices) -> JSONResponse:
    """Show an invoice, by id or number, with its lines and its payment."""
    with services.engine.connect() as conn:
        found = find_invoice(conn, invoice)
        if found is None:
            missing("invoice", invoice)
        lines = lines_of(conn, found.id)
        payment = payment_of_invoice(conn, found.id)
    return JSONResponse(
        views.invoice(found)
        | {
            "lines": [views.invoice_line(line) for line in lines],
            "payment": None if payment is None else views.payment(payment),
        }
    )


@router.get("/plans", responses=shown(schemas.PlansBody))
def list_plans(_: Reader, services: UsesServices) -> JSONResponse:
    """List every published plan with its versions."""
    with services.engine.connect() as conn:
        found = published_plans(conn)
    return JSONResponse({"data": [_plan(found[code]) for code in sorted(found)]})


@router.get("/plans/{code}", responses=shown(schemas.PlanBody))
def show_plan(code: InPath, _: Reader, services: UsesServices) -> JSONResponse:
    """Show a published plan."""
    with services.engine.connect() as conn:
        found = published_plans(conn).get(code)
    if found is None:
        missing("plan", code)
    return JSONResponse(_plan(found))


def _plan(plan: Plan) -> dict[str, Any]:
    absent = {"trial": None, "anchor_day": None}
    return {
        "code": plan.code,
        "product": plan.product,
        "name": plan.name,
        "versions": [
            absent | version.to_terms() | {"effective": version.effective.isoformat()}
            for version in plan.versions
        ],
    }


@router.get("/audit", responses=shown(schemas.Page[schemas.AuditLineBody]))
def list_audit_log(
    _: Admin,
    services: UsesServices,
    actor: Narrowed = None,
    action: Narrowed = None,
    subject: Narrowed = None,
    limit: Limit = cursors.LIMIT_DEFAULT,
    cursor: Annotated[
        str | None, Query(pattern=r"^[0-9]{1,18}$", description="`next_cursor` of the page before.")
    ] = None,
) -> JSONResponse:
    """List who changed what, the latest first."""
    with services.engine.connect() as conn:
        rows = audit_entries(
            conn,
            actor=actor,
            action=action,
            subject=subject,
            limit=limit + 1,
            before=None if cursor is None else int(cursor),
        )
    last = str(rows[limit - 1].id) if len(rows) > limit else None
    return JSONResponse(
        {"data": [views.audit_line(row) for row in rows[:limit]], "next_cursor": last}
    )


@router.get("/openapi.json", include_in_schema=False)
def show_interface(request: Request) -> JSONResponse:
    """Describe this interface; any key will do."""
    return JSONResponse(request.app.openapi())
