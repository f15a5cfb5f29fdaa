"""Usage over gRPC: a stream of batches."""

from collections.abc import Sequence
from typing import Any, cast

import grpc
import pytest

from billing.api.generated.perennial.v1 import usage_pb2 as pb
from billing.api.generated.perennial.v1.usage_pb2_grpc import UsageServiceStub
from billing.flows.service.api_keys import Scope
from tests.api.caller import Caller, Shop
from tests.scenarios.metering import CATALOG, Usage
from tests.scenarios.world import World
from tests.waiting import PATIENCE


@pytest.fixture
def usage(world: World) -> Usage:
    """A subscriber to a plan that bills usage."""
    world.publish(CATALOG)
    ada = world.subscribed("metered")
    world.run_until("2026-01-15")
    return Usage(world, ada)


def event(usage: Usage, name: str, **more: Any) -> pb.UsageEvent:
    made = pb.UsageEvent(
        id=name,
        event="search",
        subscription=str(usage.subscriber.subscription_id),
        properties={"n": "0.25", "region": "eu"},
    )
    made.at.FromDatetime(usage.world.now)
    made.MergeFrom(pb.UsageEvent(**more))
    return made


def sent(caller: Caller, *batches: Sequence[pb.UsageEvent]) -> list[pb.SendUsageResponse]:
    stub: Any = UsageServiceStub(caller.channel)  # type: ignore[no-untyped-call]
    requests = (pb.SendUsageRequest(events=batch) for batch in batches)
    return list(stub.SendUsage(requests, metadata=caller.metadata, timeout=PATIENCE))


def test_each_batch_of_a_stream_is_answered(shop: Shop, usage: Usage) -> None:
    first, second = event(usage, "a"), event(usage, "b")
    timeless = pb.UsageEvent(id="c", event="search", subscription="ada")

    answers = sent(
        shop.caller(Scope.USAGE),
        [first, second],
        [event(usage, "a"), event(usage, "b", properties={"n": "9"}), timeless],
        [],
    )

    assert [each.accepted for each in answers] == [2, 0, 0]
    assert list(answers[1].repeated) == [0]
    assert list(answers[1].conflicting) == [1]
    assert [(each.index, each.reason) for each in answers[1].refused] == [(2, "bad_time")]
    assert usage.totals("events", "sum") == {("searches", 0): ("2", "0.5")}


def test_an_event_of_a_stream_is_the_one_that_was_sent_over_http(shop: Shop, usage: Usage) -> None:
    row = usage.event(id="a", n="0.25")
    assert usage.send(row).accepted == 1

    (answer,) = sent(shop.caller(Scope.USAGE), [event(usage, "a")])

    assert list(answer.repeated) == [0]


@pytest.mark.parametrize(
    ("scope", "count", "code"),
    [
        (Scope.CHARGE, 1, grpc.StatusCode.PERMISSION_DENIED),
        (Scope.USAGE, 1_001, grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
def test_a_stream_that_cannot_be_taken_ends_with_the_reason(
    shop: Shop, usage: Usage, scope: Scope, count: int, code: grpc.StatusCode
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        sent(shop.caller(scope), [pb.UsageEvent(id=str(n)) for n in range(count)])

    assert cast(grpc.Call, caught.value).code() is code
