"""The gRPC interface, by a client that knows nothing but what reflection tells, and by the stub."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, cast

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from billing.api.generated.perennial.v1 import payments_pb2 as pb
from billing.api.rpc_calls import HEALTH
from billing.api.rpc_server import SERVICE
from billing.flows.service.api_keys import Scope
from tests.api.caller import Caller, Shop, fresh, open_shop
from tests.scenarios.world import Subscriber, World
from tests.waiting import PATIENCE, until

Code = grpc.StatusCode


@pytest.fixture
def ada(world: World) -> Subscriber:
    """A customer with a card."""
    customer_id, provider_id = world.customer()
    return Subscriber(customer_id, provider_id, customer_id)


def order(ada: Subscriber, **changes: Any) -> pb.ChargeRequest:
    given = {"idempotency_key": fresh(), "amount_cents": 999, "currency": "USD",
             "customer": ada.customer, **changes}  # fmt: skip
    return pb.ChargeRequest(**given)


def call(caller: Caller, name: str, request: Any, timeout: float = PATIENCE) -> Any:
    return getattr(caller.rpc, name)(request, metadata=caller.metadata, timeout=timeout)


def refusal(caller: Caller, name: str, request: Any, timeout: float = PATIENCE) -> tuple[Code, str]:
    """Return the status and our own code that a call ends with."""
    with pytest.raises(grpc.RpcError) as caught:
        call(caller, name, request, timeout)
    error = cast(grpc.Call, caught.value)
    trailing = dict(error.trailing_metadata() or ())
    return error.code(), str(trailing.get("perennial-code", ""))


def test_a_charge_is_made_once_and_its_status_told(
    caller: Caller, ada: Subscriber, world: World
) -> None:
    request = order(ada, description="a poster")

    first, again = call(caller, "Charge", request), call(caller, "Charge", request)
    status = call(caller, "GetStatus", pb.GetStatusRequest(payment_id=first.payment.id))

    assert first.payment.state == pb.PAYMENT_STATE_CAPTURED
    assert (first.payment.amount_captured_cents, first.payment.pending) == (999, False)
    assert (first.replayed, again.replayed) == (False, True)
    assert again.payment == first.payment == status.payment
    assert world.psp.captures(ada) == 1
    world.assert_everything_adds_up()


def test_both_faces_share_one_idempotency_key(
    caller: Caller, ada: Subscriber, world: World
) -> None:
    request = order(ada)
    by_http = {"amount": 999, "currency": "USD", "customer": ada.customer}

    first = call(caller, "Charge", request)
    again = caller.post("/v1/payments", by_http, request.idempotency_key)

    assert again.json()["id"] == first.payment.id
    assert again.headers["Idempotency-Replayed"] == "true"
    assert world.psp.captures(ada) == 1


def test_a_decline_is_an_answer_and_no_error(caller: Caller, world: World) -> None:
    customer_id, provider_id = world.customer("pm_card_chargeCustomerFail")

    answer = call(caller, "Charge", order(Subscriber(customer_id, provider_id, customer_id)))

    assert answer.payment.state == pb.PAYMENT_STATE_FAILED
    assert answer.payment.decline_code == "generic_decline"


def test_a_lost_answer_is_pending_until_it_is_asked_for_again(
    caller: Caller, ada: Subscriber, world: World
) -> None:
    request = order(ada)
    world.psp.lose_next_answer(after_commit=True)

    pending, found = call(caller, "Charge", request), call(caller, "Charge", request)

    assert (pending.payment.state, pending.payment.pending) == (pb.PAYMENT_STATE_CREATED, True)
    assert found.payment.state == pb.PAYMENT_STATE_CAPTURED
    assert world.psp.captures(ada) == 1


def test_authorise_capture_refund_and_list(caller: Caller, ada: Subscriber) -> None:
    held = call(caller, "Charge", order(ada, capture=pb.CAPTURE_METHOD_MANUAL)).payment
    taken = call(caller, "Capture", pb.CaptureRequest(
        idempotency_key=fresh(), payment_id=held.id, amount_cents=600)).payment  # fmt: skip
    given_back = call(caller, "Refund", pb.RefundRequest(
        idempotency_key=fresh(), payment_id=held.id, amount_cents=100)).refund  # fmt: skip
    other = call(caller, "Charge", order(ada, capture=pb.CAPTURE_METHOD_MANUAL)).payment
    void = pb.VoidRequest(idempotency_key=fresh(), payment_id=other.id, reason="no more")
    voided = call(caller, "Void", void).payment

    first = call(caller, "ListTransactions", pb.ListTransactionsRequest(page_size=2))
    rest = call(caller, "ListTransactions", pb.ListTransactionsRequest(
        page_size=2, page_token=first.next_page_token, customer=ada.customer))  # fmt: skip

    assert held.state == pb.PAYMENT_STATE_AUTHORIZED
    assert (taken.state, taken.amount_captured_cents) == (pb.PAYMENT_STATE_CAPTURED, 600)
    assert (given_back.state, given_back.amount_cents) == (pb.REFUND_STATE_SUCCEEDED, 100)
    assert voided.state == pb.PAYMENT_STATE_FAILED
    listed = [*first.transactions, *rest.transactions]
    assert [each.id for each in listed] == [other.id, given_back.id, held.id]
    assert rest.next_page_token == ""


def test_each_refusal_has_its_status(
    shop: Shop, caller: Caller, ada: Subscriber, world: World
) -> None:
    paid = call(caller, "Charge", request := order(ada)).payment
    reader, nobody = shop.caller(Scope.READ), shop.caller_without_a_key()
    unknown = pb.GetStatusRequest(payment_id="01a203a3-5ec8-7b90-84bf-e4cf13f0721b")
    capture = pb.CaptureRequest(idempotency_key=fresh(), payment_id=paid.id)
    reused = order(ada, idempotency_key=request.idempotency_key, amount_cents=1000)

    assert refusal(nobody, "Charge", order(ada)) == (Code.UNAUTHENTICATED, "unauthenticated")
    assert refusal(reader, "Charge", order(ada)) == (Code.PERMISSION_DENIED, "permission_denied")
    assert refusal(caller, "GetStatus", unknown) == (Code.NOT_FOUND, "not_found")
    assert refusal(caller, "Capture", capture) == (Code.FAILED_PRECONDITION, "conflict")
    assert refusal(caller, "Charge", reused) == (Code.ALREADY_EXISTS, "idempotency_key_reused")
    for change in (
        {"amount_cents": 0},
        {"amount_cents": -1},
        {"amount_cents": 10**12},
        {"currency": "usd"},
        {"idempotency_key": ""},
        {"idempotency_key": "with space"},
        {"description": "x" * 501},
        {"description": "\0"},
        {"capture": 7},
        {"customer": "4242 4242 4242 4242"},
        {"customer": "", "payment_source": ""},
    ):
        assert refusal(caller, "Charge", order(ada, **change))[0] == Code.INVALID_ARGUMENT, change
    assert world.psp.captures(ada) == 1


def test_a_twin_is_aborted_while_the_first_is_in_work(
    caller: Caller, ada: Subscriber, world: World
) -> None:
    request = order(ada)

    with ThreadPoolExecutor(1) as pool:
        with world.psp.holding_charges() as until_it_waits:
            first = pool.submit(call, caller, "Charge", request)
            until_it_waits()
            twin = refusal(caller, "Charge", request)
        answer = first.result()

    assert twin == (Code.ABORTED, "request_in_flight")
    assert answer.payment.state == pb.PAYMENT_STATE_CAPTURED
    assert world.psp.captures(ada) == 1


def test_past_its_deadline_a_charge_goes_on_and_the_key_tells(
    caller: Caller, ada: Subscriber, world: World
) -> None:
    request = order(ada)

    with world.psp.holding_charges():
        late = refusal(caller, "Charge", request, timeout=0.4)
    until(lambda: refusal_or_none(caller, request) is None)
    answer = call(caller, "Charge", request)

    assert late[0] == Code.DEADLINE_EXCEEDED
    assert (answer.payment.state, answer.replayed) == (pb.PAYMENT_STATE_CAPTURED, True)
    assert world.psp.captures(ada) == 1


def refusal_or_none(caller: Caller, request: pb.ChargeRequest) -> Code | None:
    try:
        call(caller, "Charge", request)
    except grpc.RpcError as error:
        return cast(grpc.Call, error).code()
    return None


def test_too_much_and_too_large_are_exhaustion(world: World, ada: Subscriber) -> None:
    with open_shop(world, rate_per_second=0.5, rate_burst=3) as shop:
        caller = shop.caller()
        large = order(ada, description="x" * 70_000)

        assert refusal(caller, "Charge", large)[0] == Code.RESOURCE_EXHAUSTED
        call(caller, "ListTransactions", pb.ListTransactionsRequest())
        call(caller, "ListTransactions", pb.ListTransactionsRequest())
        limited = refusal(caller, "ListTransactions", pb.ListTransactionsRequest())

    assert limited == (Code.RESOURCE_EXHAUSTED, "rate_limited")


def test_a_database_that_fails_is_unavailable(
    caller: Caller, ada: Subscriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy.exc import OperationalError

    def fail(*_: object, **__: object) -> None:
        raise OperationalError("SELECT", {}, Exception("at 10.0.0.7"))

    monkeypatch.setattr("billing.queries.lists.transactions", fail)

    told = refusal(caller, "ListTransactions", pb.ListTransactionsRequest())

    assert told == (Code.UNAVAILABLE, "unavailable")


def test_a_fault_of_ours_is_internal_and_shows_nothing(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the inner secret")

    monkeypatch.setattr("billing.queries.lists.transactions", fail)

    with pytest.raises(grpc.RpcError) as caught:
        call(caller, "ListTransactions", pb.ListTransactionsRequest())

    assert cast(grpc.Call, caught.value).code() == Code.INTERNAL
    assert "inner secret" not in str(caught.value)


# --- what comes in before it can be read ---------------------------------------------------------


def test_bytes_that_are_no_message_are_an_invalid_argument(caller: Caller) -> None:
    charge: Any = caller.channel.unary_unary(f"/{SERVICE}/Charge")

    with pytest.raises(grpc.RpcError) as caught:
        charge(b"\xff\xff\xff", metadata=caller.metadata, timeout=PATIENCE)

    error = cast(grpc.Call, caught.value)
    assert error.code() == Code.INVALID_ARGUMENT
    assert dict(error.trailing_metadata() or ())["perennial-code"] == "malformed_request"


# --- health and reflection ----------------------------------------------------------------------


def test_health_is_told_without_a_key(shop: Shop) -> None:
    visitor = shop.caller_without_a_key()
    health: Any = health_pb2_grpc.HealthStub(visitor.channel)

    for service in ("", SERVICE):
        answer = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=PATIENCE)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


class _WithKey(grpc.StreamStreamClientInterceptor):
    """Adds the key to what the reflection client sends."""

    def __init__(self, caller: Caller) -> None:
        self._metadata = caller.metadata

    def intercept_stream_stream(self, continuation: Any, details: Any, requests: Any) -> Any:
        return continuation(details._replace(metadata=self._metadata), requests)


def test_a_client_that_knows_only_reflection_can_charge(
    caller: Caller, ada: Subscriber, world: World
) -> None:
    channel = grpc.intercept_channel(caller.channel, _WithKey(caller))
    database = ProtoReflectionDescriptorDatabase(channel)
    pool = DescriptorPool(database)

    service = pool.FindServiceByName(SERVICE)
    method = service.methods_by_name["Charge"]
    message = ParseDict(
        {"idempotencyKey": fresh(), "amountCents": "500", "currency": "USD",
         "customer": ada.customer},
        GetMessageClass(method.input_type)(),
    )  # fmt: skip
    charge: Any = caller.channel.unary_unary(
        f"/{SERVICE}/{method.name}",
        request_serializer=lambda request: request.SerializeToString(),
        response_deserializer=GetMessageClass(method.output_type).FromString,
    )
    answer = MessageToDict(charge(message, metadata=caller.metadata, timeout=PATIENCE))

    assert set(database.get_services()) >= {SERVICE, HEALTH}
    assert answer["payment"]["state"] == "PAYMENT_STATE_CAPTURED"
    assert world.psp.captures(ada) == 1


def test_reflection_needs_a_key(shop: Shop) -> None:
    visitor = shop.caller_without_a_key()

    with pytest.raises(grpc.RpcError) as caught:
        ProtoReflectionDescriptorDatabase(visitor.channel).get_services()

    assert cast(grpc.Call, caught.value).code() == Code.UNAUTHENTICATED


def test_calls_are_counted_by_name_and_code(shop: Shop, caller: Caller) -> None:
    call(caller, "ListTransactions", pb.ListTransactionsRequest())
    refusal(shop.caller_without_a_key(), "ListTransactions", pb.ListTransactionsRequest())

    for code in ("OK", "UNAUTHENTICATED"):
        counted = partial(
            shop.figure, "billing_api_calls_total", call="ListTransactions", code=code
        )
        assert until(counted) == 1  # after the answer
