"""Usage: events that are counted and billed."""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request
from fastapi.responses import JSONResponse

from billing.api import usage_body, usage_schemas
from billing.api.routes.common import BEARER, Metering, UsesServices, changed
from billing.flows.usage.ingesting import UsageAnswer

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
    answer = services.usage.send(usage_body.rows_of(body, content_type))
    return JSONResponse(answer_of(answer))


def answer_of(answer: UsageAnswer) -> dict[str, object]:
    """Return what became of a batch as JSON-able values."""
    return {
        "accepted": answer.accepted,
        "late": answer.late,
        "repeated": list(answer.repeated),
        "conflicting": list(answer.conflicting),
        "refused": [{"index": each.index, "reason": str(each.reason)} for each in answer.refused],
    }
