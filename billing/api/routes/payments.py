"""Payments, refunds, and both together as transactions."""

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse

from billing.api import cursors, request_schemas, schemas
from billing.api.routes.common import (
    BEARER,
    Charger,
    Cursor,
    IdempotencyKey,
    Limit,
    Narrowed,
    PaymentId,
    Reader,
    Refunder,
    UsesServices,
    changed,
    listed,
    made,
    missing,
    narrowed,
    respond,
    shown,
)
from billing.flows.service import views
from billing.flows.service.lookup import existing_payment
from billing.flows.service.orders import ChargeOrder
from billing.presenters.decisions import with_sentence
from billing.queries import lists, refunds
from billing.rules.payments import State

router = APIRouter(prefix="/v1", tags=["payments"], dependencies=[Depends(BEARER)])
AT = "/v1/payments"


@router.post("/payments", status_code=201, responses=made(schemas.PaymentBody, pending=True))
def create_payment(
    new: request_schemas.NewPaymentBody,
    key: IdempotencyKey,
    visitor: Charger,
    services: UsesServices,
) -> JSONResponse:
    """Charge a customer once. A decline is a problem, 402, with the payment in it."""
    order = ChargeOrder(
        amount=new.amount,
        currency=new.currency,
        customer=new.customer,
        payment_source=new.payment_source,
        capture=new.capture,
        description=new.description,
    )
    answer = services.payments.charge(visitor.caller, key, order)
    return respond(services, answer, noun="payment", at=AT)


@router.get("/payments", responses=shown(schemas.Page[schemas.PaymentBody]))
def list_payments(
    _: Reader,
    services: UsesServices,
    customer: Narrowed = None,
    subscription: Narrowed = None,
    state: State | None = None,
    limit: Limit = cursors.LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> JSONResponse:
    """List payments, the newest first."""
    with services.engine.connect() as conn:
        equal = narrowed(conn, customer, subscription, state=state)
        return listed(conn, lists.PAYMENTS, views.payment, limit=limit, cursor=cursor, equal=equal)


@router.get("/payments/{payment_id}", responses=shown(schemas.PaymentWithRefundsBody))
def show_payment(payment_id: PaymentId, _: Reader, services: UsesServices) -> JSONResponse:
    """Tell where a payment stands, and what was given back of it."""
    return JSONResponse(with_sentence(services.payments.status(payment_id)))


@router.post("/payments/{payment_id}/capture", responses=changed(schemas.PaymentBody, pending=True))
def capture_payment(
    payment_id: PaymentId,
    new: request_schemas.NewCaptureBody,
    key: IdempotencyKey,
    visitor: Charger,
    services: UsesServices,
) -> JSONResponse:
    """Capture an authorised payment, or a part of it; the rest is given free."""
    answer = services.payments.capture(visitor.caller, key, payment_id, new.amount)
    return respond(services, answer, noun="payment")


@router.post("/payments/{payment_id}/void", responses=changed(schemas.PaymentBody, pending=True))
def void_payment(
    payment_id: PaymentId,
    new: request_schemas.WhyBody,
    key: IdempotencyKey,
    visitor: Charger,
    services: UsesServices,
) -> JSONResponse:
    """Give an authorisation up."""
    answer = services.payments.void(visitor.caller, key, payment_id, new.reason)
    return respond(services, answer, noun="payment")


@router.post(
    "/payments/{payment_id}/retry",
    status_code=202,
    responses=made(schemas.PaymentBody, pending=True),
)
def retry_payment(
    payment_id: PaymentId,
    new: request_schemas.WhyBody,
    key: IdempotencyKey,
    visitor: Charger,
    services: UsesServices,
) -> JSONResponse:
    """Let an invoice's payment be tried again now, outside its dunning ladder."""
    answer = services.payments.retry(visitor.caller, key, payment_id, new.reason)
    return respond(services, answer, noun="payment")


@router.post(
    "/payments/{payment_id}/refunds",
    status_code=201,
    responses=made(schemas.RefundBody, pending=True),
)
def create_refund(
    payment_id: PaymentId,
    new: request_schemas.NewRefundBody,
    key: IdempotencyKey,
    visitor: Refunder,
    services: UsesServices,
) -> JSONResponse:
    """Give money back once."""
    answer = services.payments.refund(visitor.caller, key, payment_id, new.amount, new.reason)
    return respond(services, answer, noun="refund", at="/v1/refunds")


@router.get("/payments/{payment_id}/refunds", responses=shown(schemas.Page[schemas.RefundBody]))
def list_refunds(
    payment_id: PaymentId,
    _: Reader,
    services: UsesServices,
    limit: Limit = cursors.LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> JSONResponse:
    """List the refunds of a payment, the newest first."""
    with services.engine.connect() as conn:
        equal = {"payment_id": existing_payment(conn, payment_id).id}
        return listed(conn, lists.REFUNDS, views.refund, limit=limit, cursor=cursor, equal=equal)


@router.get("/refunds/{refund_id}", responses=shown(schemas.RefundBody))
def show_refund(refund_id: PaymentId, _: Reader, services: UsesServices) -> JSONResponse:
    """Tell where a refund stands."""
    with services.engine.connect() as conn:
        row = refunds.refund(conn, refund_id)
    if row is None:
        missing("refund", refund_id)
    return JSONResponse(views.refund(row))


@router.get("/transactions", responses=shown(schemas.Page[schemas.TransactionBody]))
def list_transactions(
    _: Reader,
    services: UsesServices,
    customer: Narrowed = None,
    limit: Limit = cursors.LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> JSONResponse:
    """List charges and refunds together, the newest first."""
    before = cursors.decode(cursor)
    rows = services.payments.transactions(customer=customer, limit=limit + 1, before=before)
    found, next_cursor = cursors.cut(rows, limit)
    return JSONResponse(
        {"data": [views.transaction(row) for row in found], "next_cursor": next_cursor}
    )
