"""Credit of customers: granting it, and what is left."""

from uuid import UUID

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
    Reader,
    Refunder,
    UsesServices,
    changed,
    listed,
    made,
    respond,
    shown,
)
from billing.flows.credit.revoking import existing_grant
from billing.flows.customers.customers import existing_customer
from billing.flows.invoices.buying import TopUpOrder
from billing.flows.service import views
from billing.queries import credit as queries

router = APIRouter(prefix="/v1", tags=["credit"], dependencies=[Depends(BEARER)])
AT = "/v1/credit-grants"


@router.post(
    "/customers/{customer}/credit-grants",
    status_code=201,
    responses=made(schemas.CreditGrantBody),
)
def grant_credit(
    customer: InPath,
    new: request_schemas.NewCreditGrantBody,
    key: IdempotencyKey,
    visitor: Refunder,
    services: UsesServices,
) -> JSONResponse:
    """Give credit away, which pays the customer's next invoices."""
    answer = services.credit.grant(visitor.caller, key, customer, **new.model_dump())
    return respond(services, answer, noun="credit_grant", at=AT)


@router.post(
    "/customers/{customer}/top-ups", status_code=201, responses=made(invoice_schemas.InvoiceBody)
)
def buy_credit(
    customer: InPath,
    new: request_schemas.NewTopUpBody,
    key: IdempotencyKey,
    visitor: Charger,
    services: UsesServices,
) -> JSONResponse:
    """Invoice a customer for credit, which they hold once a worker has collected it."""
    order = TopUpOrder(customer=customer, **new.model_dump())
    answer = services.invoices.buy(visitor.caller, key, order)
    return respond(services, answer, noun="invoice", at="/v1/invoices")


@router.get(
    "/customers/{customer}/credit-grants", responses=shown(schemas.Page[schemas.CreditGrantBody])
)
def list_credit_grants(
    customer: InPath,
    _: Reader,
    services: UsesServices,
    limit: Limit = cursors.LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> JSONResponse:
    """List a customer's grants of credit, the newest first."""
    with services.engine.connect() as conn:
        equal = {"customer_id": existing_customer(conn, customer).id}
        return listed(
            conn, queries.GRANTS, views.credit_grant, limit=limit, cursor=cursor, equal=equal
        )


@router.get("/customers/{customer}/credit", responses=shown(schemas.Page[schemas.CreditBody]))
def show_credit(customer: InPath, _: Reader, services: UsesServices) -> JSONResponse:
    """Tell how much credit a customer has left, by currency."""
    with services.engine.connect() as conn:
        found = existing_customer(conn, customer)
        rows = queries.balances(conn, found.id, services.credit.context.clock.now())
    return JSONResponse({"data": [views.credit_balance(row) for row in rows], "next_cursor": None})


@router.get("/credit-grants/{grant_id}", responses=shown(schemas.CreditGrantWithMovesBody))
def show_credit_grant(grant_id: UUID, _: Reader, services: UsesServices) -> JSONResponse:
    """Show a grant of credit, and what became of it."""
    with services.engine.connect() as conn:
        row = queries.grant(conn, existing_grant(conn, grant_id).id)
        assert row is not None, "it was found a moment ago"
        moves = [views.credit_move(move) for move in queries.moves_of(conn, grant_id)]
    return JSONResponse({**views.credit_grant(row), "moves": moves})


@router.post("/credit-grants/{grant_id}/revoke", responses=changed(schemas.CreditGrantBody))
def revoke_credit_grant(
    grant_id: UUID,
    new: request_schemas.WhyBody,
    key: IdempotencyKey,
    visitor: Refunder,
    services: UsesServices,
) -> JSONResponse:
    """Let what is left of a grant expire now."""
    answer = services.credit.revoke(visitor.caller, key, grant_id, new.reason)
    return respond(services, answer, noun="credit_grant")
