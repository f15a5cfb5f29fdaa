"""Subscriptions: starting, changing and looking at them."""

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
from billing.flows.service import views
from billing.flows.service.api_keys import Scope
from billing.flows.subscriptions.subscribing import SubscriptionOrder
from billing.presenters import timeline as words
from billing.queries import lists
from billing.queries.subscriptions import subscription_of
from billing.queries.timeline import timeline
from billing.rules.subscriptions import Status

router = APIRouter(
    prefix="/v1/subscriptions", tags=["subscriptions"], dependencies=[Depends(BEARER)]
)


@router.post("", status_code=201, responses=made(schemas.SubscriptionBody))
def create_subscription(
    new: request_schemas.NewSubscriptionBody,
    key: IdempotencyKey,
    visitor: Charger,
    services: UsesServices,
) -> JSONResponse:
    """Subscribe a customer to a plan; the scheduler opens the first period when it begins."""
    answer = services.customers.subscribe(
        visitor.caller, key, SubscriptionOrder(**new.model_dump())
    )
    return respond(services, answer, noun="subscription", at="/v1/subscriptions")


@router.get("", responses=shown(schemas.Page[schemas.SubscriptionBody]))
def list_subscriptions(
    _: Reader,
    services: UsesServices,
    customer: Narrowed = None,
    plan: Narrowed = None,
    status: Status | None = None,
    limit: Limit = cursors.LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> JSONResponse:
    """List subscriptions, the newest first."""
    with services.engine.connect() as conn:
        equal = narrowed(conn, customer, plan=plan, status=status)
        return listed(
            conn, lists.SUBSCRIPTIONS, views.subscription, limit=limit, cursor=cursor, equal=equal
        )


@router.get("/{subscription}", responses=shown(schemas.SubscriptionBody))
def show_subscription(subscription: InPath, _: Reader, services: UsesServices) -> JSONResponse:
    """Show a subscription, by id or external id."""
    with services.engine.connect() as conn:
        found = subscription_of(conn, subscription)
    if found is None:
        missing("subscription", subscription)
    return JSONResponse(views.subscription(found))


@router.get("/{subscription}/timeline", responses=shown(schemas.TimelineBody))
def show_timeline(subscription: InPath, _: Reader, services: UsesServices) -> JSONResponse:
    """Tell everything that happened to a subscription, oldest first."""
    with services.engine.connect() as conn:
        found = subscription_of(conn, subscription)
        if found is None:
            missing("subscription", subscription)
        entries = timeline(conn, found.id)
    return JSONResponse({"data": [views.plain(words.line(entry)) for entry in entries]})


@router.post("/{subscription}/cancel", responses=changed(schemas.SubscriptionBody))
def cancel_subscription(
    subscription: InPath,
    new: request_schemas.CancelBody,
    key: IdempotencyKey,
    visitor: Charger,
    services: UsesServices,
) -> JSONResponse:
    """Cancel when the open period ends, or at once: then what isn't collected is voided."""
    if new.credit_note == "refund":
        visitor.needs(Scope.REFUND)
    answer = services.customers.change_subscription(
        visitor.caller,
        key,
        "cancel",
        subscription,
        why=new.reason,
        at_period_end=new.at_period_end,
        forgive=new.forgive,
        more=new.more,
    )
    return respond(services, answer, noun="subscription")


@router.post("/{subscription}/pause", responses=changed(schemas.SubscriptionBody))
def pause_subscription(
    subscription: InPath,
    new: request_schemas.PauseBody,
    key: IdempotencyKey,
    visitor: Charger,
    services: UsesServices,
) -> JSONResponse:
    """Pause: from its next period on, periods pass unbilled."""
    more = {"periods": new.periods, "until": new.until}
    answer = services.customers.change_subscription(
        visitor.caller, key, "pause", subscription, why=new.reason, more=more
    )
    return respond(services, answer, noun="subscription")


@router.post("/{subscription}/provider", responses=changed(schemas.SubscriptionBody))
def name_provider(
    subscription: InPath,
    new: request_schemas.AccountBody,
    key: IdempotencyKey,
    visitor: Charger,
    services: UsesServices,
) -> JSONResponse:
    """Name the account that it is collected over; its open payments follow."""
    answer = services.customers.name_account(
        visitor.caller, key, subscription, new.provider, why=new.reason
    )
    return respond(services, answer, noun="subscription")


@router.post("/{subscription}/coupons", status_code=201, responses=made(schemas.RedemptionBody))
def redeem_coupon(
    subscription: InPath,
    new: request_schemas.RedeemBody,
    key: IdempotencyKey,
    visitor: Charger,
    services: UsesServices,
) -> JSONResponse:
    """Redeem a coupon: it takes something off from the next invoice on."""
    answer = services.customers.redeem_coupon(
        visitor.caller, key, subscription, new.coupon, why=new.reason
    )
    return respond(services, answer, noun="redemption")


@router.post("/{subscription}/resume", responses=changed(schemas.SubscriptionBody))
def resume_subscription(
    subscription: InPath,
    new: request_schemas.ResumeBody,
    key: IdempotencyKey,
    visitor: Charger,
    services: UsesServices,
) -> JSONResponse:
    """Resume: it is billed again; also takes back a cancellation at the period's end."""
    answer = services.customers.change_subscription(
        visitor.caller, key, "resume", subscription, why=new.reason, more={"on": new.on}
    )
    return respond(services, answer, noun="subscription")
