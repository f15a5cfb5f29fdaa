"""A request's trace: it goes on with the caller's, into the threads that work on it."""

from billing.api.generated.perennial.v1 import payments_pb2 as pb
from tests.api.caller import Caller, fresh
from tests.scenarios.world import World
from tests.spans import Tree, facts, trace_of, traced
from tests.waiting import PATIENCE, until

TRACE = "0af7651916cd43dd8448eb211c80319c"
HEADER = f"00-{TRACE}-b7ad6b7169203331-01"


def test_a_charge_over_http_is_one_trace_with_its_caller(world: World, caller: Caller) -> None:
    customer, _ = world.customer()
    with traced() as spans:
        answer = caller._http.post(
            f"{caller.url}/v1/payments",
            json={"amount": 999, "currency": "USD", "customer": str(customer)},
            headers={**caller._headers(), "Idempotency-Key": fresh(), "traceparent": HEADER},
            timeout=PATIENCE,
        )
        assert answer.status_code == 201, answer.text
        until(lambda: spans.all("api request"))

    (request,) = spans.all("api request")
    assert facts(request) == {
        "method": "POST",
        "route": "/v1/payments",
        "status": 201,
        "request": answer.headers["x-request-id"],
    }
    assert {trace_of(span) for span in spans.all()} == {TRACE}
    charge: Tree = {"begin attempt": {}, "provider request": {}, "finish attempt": {}}
    assert spans.tree(request) == {"charge": charge}


def test_a_request_without_a_trace_or_with_nonsense_begins_one(caller: Caller) -> None:
    with traced() as spans:
        for given in ({}, {"traceparent": "nonsense"}):
            refused = caller._http.get(
                f"{caller.url}/v1/customers/none",
                headers={**caller._headers(), **given},
                timeout=PATIENCE,
            )
            assert refused.status_code == 404
        until(lambda: len(spans.all("api request")) == 2)

    assert len({trace_of(span) for span in spans.all("api request")}) == 2
    assert {facts(span)["status"] for span in spans.all("api request")} == {404}
    assert {facts(span)["route"] for span in spans.all("api request")} == {
        "/v1/customers/{customer}"
    }


def test_a_call_over_grpc_is_traced_with_its_caller(caller: Caller) -> None:
    with traced() as spans:
        caller.rpc.ListTransactions(
            pb.ListTransactionsRequest(page_size=1),
            metadata=(*caller.metadata, ("traceparent", HEADER)),
            timeout=PATIENCE,
        )
        until(lambda: spans.all("api call"))

    (call,) = spans.all("api call")
    assert trace_of(call) == TRACE
    assert (facts(call)["method"], facts(call)["status"]) == ("ListTransactions", "OK")
