"""Customers and their payment methods."""

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse

from billing.api import cursors, request_schemas, schemas
from billing.api.routes.common import (
    BEARER,
    Charger,
    Cursor,
    IdempotencyKey,
    InPath,
    Limit,
    Reader,
    UsesServices,
    listed,
    made,
    respond,
    shown,
)
from billing.flows.customers.customers import existing_customer
from billing.flows.service import views
from billing.queries import lists
from billing.queries.customers import payment_methods_of, tax_facts_of

router = APIRouter(prefix="/v1/customers", tags=["customers"], dependencies=[Depends(BEARER)])


@router.post("", status_code=201, responses=made(schemas.CustomerBody))
def create_customer(
    new: request_schemas.NewCustomerBody,
    key: IdempotencyKey,
    visitor: Charger,
    services: UsesServices,
) -> JSONResponse:
    """Create a customer here and at the provider."""
    answer = services.customers.create_customer(visitor.caller, key, **new.model_dump())
    return respond(services, answer, noun="customer", at="/v1/customers")


@router.get("", responses=shown(schemas.Page[schemas.CustomerBody]))
def list_customers(
    _: Reader,
    services: UsesServices,
    limit: Limit = cursors.LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> JSONResponse:
    """List customers, the newest first."""
    with services.engine.connect() as conn:
        return listed(conn, lists.CUSTOMERS, views.customer, limit=limit, cursor=cursor)


@router.get("/{customer}", responses=shown(schemas.CustomerBody))
def show_customer(customer: InPath, _: Reader, services: UsesServices) -> JSONResponse:
    """Show a customer, by id or external id."""
    with services.engine.connect() as conn:
        return JSONResponse(views.customer(existing_customer(conn, customer)))


@router.post(
    "/{customer}/payment-methods", status_code=201, responses=made(schemas.PaymentMethodBody)
)
def add_payment_method(
    customer: InPath,
    new: request_schemas.NewPaymentMethodBody,
    key: IdempotencyKey,
    visitor: Charger,
    services: UsesServices,
) -> JSONResponse:
    """Attach a payment method and make it the default; what waited for it is tried again."""
    answer = services.customers.add_payment_method(
        visitor.caller,
        key,
        customer,
        new.payment_method,
        provider=new.provider,
        make_default=new.make_default,
    )
    return respond(services, answer, noun="payment_method")


@router.post("/{customer}/tax-facts", status_code=201, responses=made(schemas.TaxFactsBody))
def set_tax_facts(
    customer: InPath,
    new: request_schemas.TaxFactsOrderBody,
    key: IdempotencyKey,
    visitor: Charger,
    services: UsesServices,
) -> JSONResponse:
    """Say where a customer is taxed; what waited for it is invoiced."""
    answer = services.customers.set_tax_facts(visitor.caller, key, customer, new.model_dump())
    return respond(services, answer, noun="tax_facts")


@router.get("/{customer}/tax-facts", responses=shown(schemas.Page[schemas.TaxFactsBody]))
def list_tax_facts(customer: InPath, _: Reader, services: UsesServices) -> JSONResponse:
    """List what is known of a customer for taxes, in the order in which it holds."""
    with services.engine.connect() as conn:
        rows = tax_facts_of(conn, existing_customer(conn, customer).id)
    return JSONResponse({"data": [views.tax_facts(row) for row in rows], "next_cursor": None})


@router.get("/{customer}/payment-methods", responses=shown(schemas.Page[schemas.PaymentMethodBody]))
def list_payment_methods(customer: InPath, _: Reader, services: UsesServices) -> JSONResponse:
    """List a customer's payment methods, oldest first."""
    with services.engine.connect() as conn:
        rows = payment_methods_of(conn, existing_customer(conn, customer).id)
    return JSONResponse({"data": [views.payment_method(row) for row in rows], "next_cursor": None})
