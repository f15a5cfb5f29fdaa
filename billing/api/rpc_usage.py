"""The gRPC service of usage: a stream of batches, each of which is answered."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from billing.api.generated.perennial.v1 import usage_pb2 as pb
from billing.api.generated.perennial.v1.usage_pb2_grpc import UsageServiceServicer
from billing.api.rpc_values import invalid, moment
from billing.flows.service.api_keys import Scope
from billing.flows.service.usage import UsageApi
from billing.flows.usage.ingesting import UsageAnswer
from billing.presenters import usage_refusals
from billing.rules.usage import BATCH_MAX

USAGE_SCOPES: Final[Mapping[str, Scope]] = {"SendUsage": Scope.USAGE}


class UsageService(UsageServiceServicer):
    """Counts events of usage."""

    def __init__(self, usage: UsageApi) -> None:
        self._usage = usage

    async def SendUsage(  # noqa: N802  gRPC's name
        self, requests: AsyncIterator[pb.SendUsageRequest], _: object
    ) -> AsyncIterator[pb.SendUsageResponse]:
        """Count batches, and answer each one."""
        async for request in requests:
            if len(request.events) > BATCH_MAX:
                invalid("events", f"are more than {BATCH_MAX}: send several batches")
            rows = [_row(event) for event in request.events]
            yield _answer(await asyncio.to_thread(self._usage.send, rows))


def _row(event: pb.UsageEvent) -> dict[str, Any]:
    """Return an event as a row of JSON; what is empty isn't given."""
    given = {
        "id": event.id,
        "event": event.event,
        "subscription": event.subscription,
        "customer": event.customer,
        "item": event.item,
        "at": moment(event.at).isoformat() if event.HasField("at") else "",
    }
    row: dict[str, Any] = {name: value for name, value in given.items() if value}
    row["properties"] = dict(event.properties)
    return row


def _answer(answer: UsageAnswer) -> pb.SendUsageResponse:
    return pb.SendUsageResponse(
        accepted=answer.accepted,
        late=answer.late,
        repeated=answer.repeated,
        conflicting=answer.conflicting,
        refused=[
            pb.RefusedEvent(
                index=each.index,
                reason=str(each.reason),
                detail=usage_refusals.REFUSED[each.reason],
            )
            for each in answer.refused
        ],
    )
