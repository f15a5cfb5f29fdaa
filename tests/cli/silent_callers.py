"""Callers without a key who connect to a running API and say nothing."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import grpc
import requests
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from billing.api.serving import Api
from billing.config import load_settings
from billing.workers.runtime.metrics import ProcessMetrics
from billing.workers.runtime.runtime import Runtime
from tests.cli.world import World
from tests.waiting import PATIENCE

PEPPER = "a pepper of the tests, long enough to be one"


@contextmanager
def silent_callers(world: World, count: int) -> Iterator[Callable[[], None]]:
    """Hold so many silent connections to each of the API's two servers, and as many silent calls.

    Yields what checks that both answer others all the same.
    """
    settings = load_settings(world.folder / "config.toml", world.env)
    ports = {"port": 0, "grpc_port": 0, "pepper": SecretStr(PEPPER)}
    runtime = Runtime(settings.model_copy(update={"api": settings.api.model_copy(update=ports)}))
    api = Api(runtime, ProcessMetrics(CollectorRegistry(), "api", "0"))
    serving = threading.Thread(target=api.run)
    serving.start()
    over = threading.Event()

    def never() -> Iterator[bytes]:
        over.wait(PATIENCE)
        yield from ()

    with ExitStack() as stack:
        stack.callback(serving.join)
        stack.callback(api.stop)
        stack.callback(over.set)
        host, rpc_port = api.rpc.address.rsplit(":", 1)
        for port in (api.http_port, int(rpc_port)):
            for _ in range(count):
                stack.enter_context(socket.create_connection((host, port), timeout=PATIENCE))
        channel = stack.enter_context(grpc.insecure_channel(api.rpc.address))
        call: Any = channel.stream_unary("/perennial.v1.PaymentService/Charge")
        silent = [call.future(never(), timeout=PATIENCE) for _ in range(count)]
        for each in silent:
            stack.callback(each.cancel)

        def both_answer() -> None:
            assert requests.get(f"{api.http_url}/v1/plans", timeout=PATIENCE).status_code == 401
            with grpc.insecure_channel(api.rpc.address) as own:
                health: Any = health_pb2_grpc.HealthStub(own)
                answer = health.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING

        both_answer()
        yield both_answer
    runtime.close()
