"""Changes of what subscriptions hold: quoted, made and withdrawn."""

from uuid import UUID

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse

from billing.api import request_schemas, schemas
from billing.api.routes.common import (
    BEARER,
    Charger,
    IdempotencyKey,
    InPath,
    Reader,
    UsesServices,
    changed,
    made,
    respond,
    shown,
)
from billing.flows.service.api_keys import Scope

router = APIRouter(
    prefix="/v1/subscriptions/{subscription}/changes",
    tags=["subscriptions"],
    dependencies=[Depends(BEARER)],
)


@router.post("/quote", responses=shown(schemas.SubscriptionChangeBody))
def quote_change(
    subscription: InPath,
    new: request_schemas.ChangeOrderBody,
    _: Reader,
    services: UsesServices,
) -> JSONResponse:
    """Tell what a change would do, to the last line of its invoice; nothing is changed."""
    return JSONResponse(services.customers.quote_change(subscription, new.order))


@router.post("", status_code=201, responses=made(schemas.SubscriptionChangeBody))
def change_subscription(
    subscription: InPath,
    new: request_schemas.NewChangeBody,
    key: IdempotencyKey,
    visitor: Charger,
    services: UsesServices,
) -> JSONResponse:
    """Change plan, quantities or periods; with a quote's digest only if nothing has moved."""
    if new.credit == "refund":
        visitor.needs(Scope.REFUND)
    answer = services.customers.change_items(
        visitor.caller,
        key,
        subscription,
        new.order,
        digest=new.quote_digest,
        why=new.reason,
    )
    return respond(services, answer, noun="change")


@router.post("/{change}/withdraw", responses=changed(schemas.SubscriptionBody))
def withdraw_change(
    subscription: InPath,
    change: UUID,
    new: request_schemas.WhyBody,
    key: IdempotencyKey,
    visitor: Charger,
    services: UsesServices,
) -> JSONResponse:
    """Take a change back that doesn't hold yet."""
    answer = services.customers.withdraw_change(
        visitor.caller, key, subscription, change, why=new.reason
    )
    return respond(services, answer, noun="subscription")
