"""What a caller without a key, or with any, can't do: hold threads, connections or memory."""

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from pydantic import SecretStr

from billing.api.generated.perennial.v1 import payments_pb2 as pb
from billing.api.rpc_calls import HEALTH
from billing.api.rpc_health import WATCHES_MAX
from billing.api.rpc_server import SERVICE
from billing.config import WebhooksSettings
from billing.flows.service.api_keys import Scope
from tests.api.caller import Caller, Shop, fresh, open_shop
from tests.scenarios.world import World, WorldRuntime
from tests.waiting import PATIENCE, until

Code = grpc.StatusCode
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
TIME_WAIT = "06"
"""A state of a connection in /proc/net/tcp."""
FEW = {"threads": 2}
UNBOUNDED_SECONDS = 50.0
"""Less than gRPC itself waits for a connection that says nothing: a minute and more."""
SOON = {"threads": 2, "arrival_timeout": "300ms"}


# --- gRPC: calls whose message never comes --------------------------------------------------------


@contextmanager
def silence() -> Iterator[Callable[[], Iterator[bytes]]]:
    """Yield what makes messages that never come, until the end."""
    over = threading.Event()

    def wait() -> Iterator[bytes]:
        over.wait(PATIENCE)
        yield from ()

    try:
        yield wait
    finally:
        over.set()


def lists(caller: Caller) -> None:
    """Make a call that any key may make, and that needs a thread."""
    caller.rpc.ListTransactions(
        pb.ListTransactionsRequest(), metadata=caller.metadata, timeout=PATIENCE
    )


def code_of(call: Any) -> Code:
    return cast(grpc.Call, call.exception(timeout=PATIENCE)).code()


@pytest.mark.parametrize("method", [f"/{HEALTH}/Check", f"/{HEALTH}/Watch", f"/{SERVICE}/Charge"])
def test_silent_calls_without_a_key_hold_nobody_up(world: World, method: str) -> None:
    with open_shop(world, **FEW) as shop, silence() as never:
        stranger: Any = shop.caller_without_a_key().channel.stream_unary(method)
        waiting = [stranger.future(never(), timeout=PATIENCE) for _ in range(8)]

        lists(shop.caller())
        for call in waiting:
            call.cancel()


@pytest.mark.parametrize("method", ["GetStatus", "Charge", "Refund"])
def test_silent_calls_with_a_key_hold_nobody_up(world: World, method: str) -> None:
    with open_shop(world, **FEW) as shop, silence() as never:
        caller = shop.caller()
        silent: Any = caller.channel.stream_unary(f"/{SERVICE}/{method}")
        waiting = [
            silent.future(never(), metadata=caller.metadata, timeout=PATIENCE) for _ in range(8)
        ]

        lists(caller)
        for call in waiting:
            call.cancel()


def test_open_streams_of_reflection_hold_nobody_up(world: World) -> None:
    with open_shop(world, **FEW) as shop, silence() as never:
        caller = shop.caller()
        stream: Any = caller.channel.stream_stream(REFLECTION)
        waiting = [stream(never(), metadata=caller.metadata, timeout=PATIENCE) for _ in range(8)]

        lists(caller)
        for call in waiting:
            call.cancel()


@pytest.mark.parametrize("method", [f"/{HEALTH}/Check", f"/{HEALTH}/Watch", f"/{SERVICE}/Charge"])
def test_a_message_has_to_arrive_in_time(world: World, method: str) -> None:
    with open_shop(world, **SOON) as shop, silence() as never:
        caller = shop.caller()
        silent: Any = caller.channel.stream_unary(method)

        call = silent.future(never(), metadata=caller.metadata, timeout=PATIENCE)

        assert code_of(call) == Code.DEADLINE_EXCEEDED


def test_a_request_of_reflection_has_to_arrive_in_time(world: World) -> None:
    with open_shop(world, **SOON) as shop, silence() as never:
        caller = shop.caller()
        stream: Any = caller.channel.stream_stream(REFLECTION)

        call = stream(never(), metadata=caller.metadata, timeout=PATIENCE)

        with pytest.raises(grpc.RpcError):
            next(call)
        assert call.code() == Code.DEADLINE_EXCEEDED


def test_a_key_without_the_scope_is_refused_before_its_message_comes(shop: Shop) -> None:
    with silence() as never:
        caller = shop.caller(Scope.READ)
        charge: Any = caller.channel.stream_unary(f"/{SERVICE}/Charge")

        call = charge.future(never(), metadata=caller.metadata, timeout=PATIENCE)

        assert code_of(call) == Code.PERMISSION_DENIED


def test_a_canceled_stream_is_counted_as_canceled(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    health: Any = health_pb2_grpc.HealthStub(shop.caller_without_a_key().channel)
    watch = health.Watch(health_pb2.HealthCheckRequest(service=SERVICE), timeout=PATIENCE)
    next(watch)  # canceled before it arrived, it would never be a call of the server's
    watch.cancel()

    until(lambda: shop.figure("billing_api_calls_total", call="Watch", code="CANCELLED") == 1)
    assert not [line for line in caplog.records if line.levelname == "ERROR"]


def test_a_stream_that_is_canceled_between_messages_is_counted_once_and_is_no_error(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    caller = shop.caller()
    with silence() as never:
        question = ServerReflectionRequest(list_services="").SerializeToString()
        stream: Any = caller.channel.stream_stream(REFLECTION)
        call = stream(chain([question], never()), metadata=caller.metadata, timeout=PATIENCE)
        next(call)
        call.cancel()

        def counted(code: str) -> float:
            return shop.figure("billing_api_calls_total", call="ServerReflectionInfo", code=code)

        # gRPC tells the server of either the cancellation or the end of the messages.
        until(lambda: counted("CANCELLED") + counted("OK") == 1)
    assert not [line for line in caplog.records if line.levelname == "ERROR"]


def test_who_connects_and_says_nothing_is_cut_off_in_time(world: World) -> None:
    with open_shop(world, **SOON) as shop, ExitStack() as stack:
        port = int(shop.api.rpc.address.rpartition(":")[2])
        silent = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE))
            for _ in range(16)
        ]
        began = time.monotonic()
        for each in silent:
            read_to_the_end(each)

        assert time.monotonic() - began < UNBOUNDED_SECONDS


# --- gRPC: health ---------------------------------------------------------------------------------


def test_nothing_is_kept_of_a_service_that_is_not_known(shop: Shop) -> None:
    health: Any = health_pb2_grpc.HealthStub(shop.caller_without_a_key().channel)
    asked = health_pb2.HealthCheckRequest(service="x" * 60_000)

    told = [answer.status for answer in health.Watch(asked, timeout=PATIENCE)]
    with pytest.raises(grpc.RpcError) as caught:
        health.Check(asked, timeout=PATIENCE)

    assert told == [health_pb2.HealthCheckResponse.SERVICE_UNKNOWN]
    assert cast(grpc.Call, caught.value).code() == Code.NOT_FOUND


def test_a_watch_is_told_that_the_server_stops(world: World) -> None:
    with ExitStack() as stack:
        shop = stack.enter_context(open_shop(world))
        health: Any = health_pb2_grpc.HealthStub(shop.caller_without_a_key().channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(service=SERVICE), timeout=PATIENCE)
        first = next(watch).status
        shop.api.stop()

        assert (first, next(watch).status) == (
            health_pb2.HealthCheckResponse.SERVING,
            health_pb2.HealthCheckResponse.NOT_SERVING,
        )
        watch.cancel()


def test_watches_are_bounded(shop: Shop) -> None:
    health: Any = health_pb2_grpc.HealthStub(shop.caller_without_a_key().channel)
    asked = health_pb2.HealthCheckRequest(service="")
    watches = [health.Watch(asked, timeout=PATIENCE) for _ in range(WATCHES_MAX)]
    assert {next(watch).status for watch in watches} == {health_pb2.HealthCheckResponse.SERVING}

    one_more = health.Watch(asked, timeout=PATIENCE)
    with pytest.raises(grpc.RpcError):
        next(one_more)

    assert one_more.code() == Code.RESOURCE_EXHAUSTED
    for watch in watches:
        watch.cancel()


# --- HTTP: connections ----------------------------------------------------------------------------


def connected(shop: Shop) -> socket.socket:
    return socket.create_connection(("127.0.0.1", shop.api.http_port), timeout=PATIENCE)


def read_to_the_end(connection: socket.socket) -> bytes:
    """Return what comes until the server closes the connection, which a reset does too."""
    found = bytearray()
    try:
        while part := connection.recv(65_536):
            found += part
    except ConnectionResetError:
        pass
    return bytes(found)


EARLY = {
    "no key": b"POST /v1/payments HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n",
    "a webhook that is no JSON": b"POST /v1/webhooks/stripe HTTP/1.1\r\nHost: x\r\n"
    b"Content-Type: text/plain\r\nContent-Length: 999999\r\n\r\n",
    "a webhook that is too large": b"POST /v1/webhooks/stripe HTTP/1.1\r\nHost: x\r\n"
    b"Content-Type: application/json\r\nContent-Length: 99999999\r\n\r\n",
    "no key, and no end": b"POST /v1/payments HTTP/1.1\r\nHost: x\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n",
}


@pytest.mark.parametrize("head", EARLY.values(), ids=EARLY)
def test_a_connection_ends_after_an_answer_given_before_the_body_was_read(
    world: World, head: bytes
) -> None:
    webhooks = WebhooksSettings(secrets=(SecretStr("whsec_test"),))
    settings = world.runtime.settings.model_copy(update={"webhooks": webhooks})
    world.runtime = WorldRuntime(settings, world=world)
    with open_shop(world, **SOON) as shop, connected(shop) as connection:
        connection.sendall(head)
        connection.sendall(b"1")

        answer = read_to_the_end(connection)

        assert answer.startswith(b"HTTP/1.1 4")
        assert b"connection: close" in answer.lower()
    world.runtime.close()


def test_an_honest_caller_without_a_key_is_answered_and_may_go_on(shop: Shop) -> None:
    with connected(shop) as connection:
        for _ in range(2):
            connection.sendall(
                b"POST /v1/payments HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                b"Content-Length: 2\r\n\r\n"
            )
            connection.sendall(b"{}")
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            assert (answer.status, answer.getheader("connection")) == (401, None)
            answer.read()


def test_who_reads_no_answer_is_cut_off(world: World) -> None:
    with open_shop(world, **SOON) as shop, connected(shop) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.setblocking(False)
        port = connection.getsockname()[1]
        requests = b"GET /v1/plans HTTP/1.1\r\nHost: x\r\n\r\n" * 1000

        def cut_off() -> bool:
            with suppress(OSError):  # the server reads no more of them, or is gone
                connection.send(requests)
            return not server_has(shop, port)

        assert server_has(shop, port)
        until(cut_off)


def server_has(shop: Shop, port: int) -> bool:
    """Tell whether the kernel has the server's end of the connection from this port.

    The caller's end can't tell: its kernel drops the reset of a connection whose window is closed,
    and learns of it when it next tries to send, up to minutes later.
    """
    ends = (line.split()[1:4] for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return any(
        (int(local.rpartition(":")[2], 16), int(remote.rpartition(":")[2], 16))
        == (shop.api.http_port, port)
        and state != TIME_WAIT
        for local, remote, state in ends
    )


def test_beyond_the_bound_the_one_that_waited_longest_is_closed(world: World) -> None:
    with open_shop(world, connections_max=4) as shop, ExitStack() as stack:
        silent = [stack.enter_context(connected(shop)) for _ in range(8)]

        lists_plans(shop)

        with pytest.raises(ConnectionResetError):
            silent[0].recv(1)


def lists_plans(shop: Shop) -> None:
    caller = shop.caller()
    assert caller.get("/v1/plans").status_code == 200


def test_an_answer_leaves_at_once(shop: Shop) -> None:
    accepted = shop.api._listener
    with connected(shop) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        connection.recv(65_536)

        # asyncio turns Nagle's algorithm off only where the listener names the protocol.
        assert accepted.proto == socket.IPPROTO_TCP


# --- requests that two programs would read differently --------------------------------------------


AMBIGUOUS = {
    "two idempotency keys": b"Idempotency-Key: a\r\nIdempotency-Key: b\r\nContent-Length: 2\r\n",
    "two keys": b"Authorization: Bearer pk_x_y\r\nContent-Length: 2\r\n",
    "a length and an encoding": b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
    "two content types": b"Content-Type: text/plain\r\nContent-Length: 2\r\n",
}


@pytest.mark.parametrize("headers", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_an_ambiguous_request_is_refused_and_its_connection_ends(
    shop: Shop, headers: bytes
) -> None:
    key = shop.caller().key.encode()
    with connected(shop) as connection:
        connection.sendall(
            b"POST /v1/payments HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + key + b"\r\n"
            b"Content-Type: application/json\r\n" + headers + b"\r\n{}"
        )

        answer = read_to_the_end(connection)

    assert answer.startswith(b"HTTP/1.1 400")
    assert b"malformed_request" in answer


@pytest.mark.parametrize(
    "body",
    [
        b'{"amount": 100, "amount": 5000, "currency": "USD", "customer": "ada"}',
        b'{"currency": "USD", "customer": "ada", "amount": 100, "\\u0061mount": 5000}',
        b'{"amount": 1, "currency": "USD", "customer": "ada"}'.decode().encode("utf-16"),
        b'{"amount": 1, "currency": "USD", "customer": "ada"}'.decode().encode("utf-32"),
        b'{"description": "\xff"}',
    ],
    ids=["twice", "twice, once escaped", "UTF-16", "UTF-32", "no UTF-8"],
)
def test_a_body_can_be_read_in_one_way_only(caller: Caller, body: bytes) -> None:
    answer = caller._http.post(
        caller.url + "/v1/payments",
        data=body,
        headers={
            **caller._headers(),
            "Idempotency-Key": fresh(),
            "Content-Type": "application/json",
        },
        timeout=PATIENCE,
    )

    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")


@pytest.mark.parametrize("what", ["refunds", "capture"])
def test_a_null_amount_is_not_a_missing_one(caller: Caller, what: str) -> None:
    path = f"/v1/payments/01a203a3-5ec8-7b90-84bf-e4cf13f0721b/{what}"

    null, missing = caller.post(path, {"amount": None}), caller.post(path, {})

    assert (null.status_code, missing.status_code) == (422, 404)
    assert "leave it out" in null.text


@pytest.mark.parametrize(
    "query",
    ["status=CAPTURED", "customer_id=1", "limit=1&limit=2", "Limit=1", "cursor=&cursor="],
)
def test_a_query_names_only_what_is_known_and_once(caller: Caller, query: str) -> None:
    answer = caller.get(f"/v1/payments?{query}")

    assert (answer.status_code, answer.json()["where"]) == (422, "query")


# --- text that steers a terminal ------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["\x00", "\x1b[2J", "\x07", "\x7f", "a\u009b2Jb", "\u202egnp.exe", "a\u2066b", "a\u2028b"],
    ids=ascii,
)
@pytest.mark.parametrize("where", ["name", "external_id", "email"])
def test_no_text_has_controls(caller: Caller, name: str, where: str) -> None:
    text = f"{name}@example.com" if where == "email" else name

    answer = caller.post("/v1/customers", {"name": "Ada", where: text})

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


@pytest.mark.parametrize("name", ["\u0639\u0644\u06cc\u200c", "O\u2019Brien", "\u674e", "a b"])
def test_names_of_people_are_taken(caller: Caller, name: str) -> None:
    assert caller.post("/v1/customers", {"name": name}).status_code == 201
