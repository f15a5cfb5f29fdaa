"""Usage: events that are counted and billed."""

from dataclasses import asdict
from fractions import Fraction
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import JSONResponse

from billing.api import usage_body, usage_schemas
from billing.api.routes.common import (
    BEARER,
    InPath,
    Metering,
    Reader,
    UsesServices,
    changed,
    missing,
    shown,
)
from billing.flows.cycles.collecting import collected_later
from billing.flows.service import views
from billing.flows.usage.ingesting import UsageAnswer
from billing.plans.numbers import exact_text
from billing.presenters import usage_refusals
from billing.queries import usage as queries
from billing.queries.subscriptions import subscription_of

router = APIRouter(prefix="/v1", tags=["usage"], dependencies=[Depends(BEARER)])


async def _body(request: Request) -> bytes:
    return await request.body()


@router.post(
    "/usage", responses=changed(usage_schemas.UsageAnswerBody), openapi_extra=usage_schemas.SENT
)
def send_usage(
    body: Annotated[bytes, Depends(_body)],
    _: Metering,
    services: UsesServices,
    content_type: Annotated[str, Header(include_in_schema=False)] = "",
) -> JSONResponse:
    """Count events, each once; it says of each that isn't counted why. No key is needed."""
    with collected_later():
        answer = services.usage.send(usage_body.rows_of(body, content_type))
    return JSONResponse(answer_of(answer))


@router.get("/subscriptions/{subscription}/usage", responses=shown(usage_schemas.UsageBody))
def show_usage(
    subscription: InPath,
    _: Reader,
    services: UsesServices,
    from_n: Annotated[
        int, Query(ge=0, le=1_000_000, description="From which period on; the first one is 0.")
    ] = 0,
) -> JSONResponse:
    """Show what was counted for a subscription, by period and meter, and its alerts."""
    with services.engine.connect() as conn:
        found = subscription_of(conn, subscription)
        if found is None:
            missing("subscription", subscription)
        totals = queries.totals(conn, found.id, from_n=from_n)
        alerts = queries.alerts(conn, found.id, from_n=from_n)
    return JSONResponse(
        {"data": [_shown(each) for each in totals], "alerts": [_shown(each) for each in alerts]}
    )


def _shown(row: queries.UsageTotal | queries.UsageAlert) -> dict[str, Any]:
    return {
        name: exact_text(value) if isinstance(value, Fraction) else views.plain(value)
        for name, value in asdict(row).items()
    }


def answer_of(answer: UsageAnswer) -> dict[str, object]:
    """Return what became of a batch as JSON-able values."""
    return {
        "accepted": answer.accepted,
        "late": answer.late,
        "repeated": list(answer.repeated),
        "conflicting": list(answer.conflicting),
        "refused": [
            {
                "index": each.index,
                "reason": str(each.reason),
                "detail": usage_refusals.REFUSED[each.reason],
            }
            for each in answer.refused
        ],
    }
