"""A caller of the API in tests: real HTTP, real gRPC, a key of its own."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import grpc
import requests
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from requests.adapters import HTTPAdapter

from billing.api.generated.perennial.v1.payments_pb2_grpc import PaymentServiceStub
from billing.api.serving import Api
from billing.config import ApiSettings
from billing.flows.service import api_keys
from billing.flows.service.api_keys import Scope
from billing.rules.actor import Actor, ActorKind
from billing.workers.runtime.metrics import ProcessMetrics
from tests.scenarios.world import World, WorldRuntime
from tests.waiting import PATIENCE

PEPPER = "a pepper of the tests, long enough to be one"
EVERYTHING = (Scope.ADMIN,)
Json = dict[str, Any]


def fresh() -> str:
    """Return an idempotency key that nobody used."""
    return str(uuid4())


@dataclass
class Caller:
    """One key, used over HTTP and gRPC."""

    url: str
    rpc_address: str
    key: str

    def __post_init__(self) -> None:
        self._http = requests.Session()
        self._http.trust_env = False  # each request would look through the environment for proxies
        self._http.mount("http://", HTTPAdapter(pool_maxsize=64))
        self._channel: grpc.Channel | None = None

    def get(self, path: str, **params: str | int | None) -> requests.Response:
        return self._http.get(
            self.url + path, params=params, headers=self._headers(), timeout=PATIENCE
        )

    def post(self, path: str, body: object = None, key: str | None = None) -> requests.Response:
        headers = {**self._headers(), "Idempotency-Key": key or fresh()}
        return self._http.post(
            self.url + path, json={} if body is None else body, headers=headers, timeout=PATIENCE
        )

    def found(self, path: str, **params: str | int | None) -> Json:
        """Get what has to be there."""
        answer = self.get(path, **params)
        assert answer.status_code == 200, answer.text
        body: Json = answer.json()
        return body

    def charged(self, amount: int = 999, **order: object) -> Json:
        """Make a charge that has to succeed."""
        answer = self.post("/v1/payments", {"amount": amount, "currency": "USD", **order})
        assert answer.status_code == 201, answer.text
        body: Json = answer.json()
        return body

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    @property
    def metadata(self) -> Sequence[tuple[str, str]]:
        return (("authorization", f"Bearer {self.key}"),)

    @property
    def channel(self) -> grpc.Channel:
        if self._channel is None:
            self._channel = grpc.insecure_channel(self.rpc_address)
        return self._channel

    @property
    def rpc(self) -> PaymentServiceStub:
        return PaymentServiceStub(self.channel)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        self._http.close()
        if self._channel is not None:
            self._channel.close()


class Shop:
    """A running API in a world of its own, and callers of it."""

    def __init__(self, world: World, **settings: object) -> None:
        self.world = world
        given = {"port": 0, "grpc_port": 0, "pepper": SecretStr(PEPPER), "rate_per_second": 1e4,
                 "rate_burst": 10_000, **settings}  # fmt: skip
        api = ApiSettings.model_validate(given)
        self.runtime = WorldRuntime(
            world.runtime.settings.model_copy(update={"api": api}), world=world
        )
        self.registry = CollectorRegistry()
        self.api = Api(self.runtime, ProcessMetrics(self.registry, "api", "0"))
        self._callers: list[Caller] = []
        self._thread = threading.Thread(target=self.api.run)

    def open(self) -> None:
        self._thread.start()
        self.caller_without_a_key().get("/v1/plans")  # it answers

    def close(self) -> None:
        for caller in self._callers:
            caller.close()
        self.api.stop()
        self._thread.join()
        self.runtime.close()

    def caller(self, *scopes: Scope, name: str = "shop") -> Caller:
        _, key = api_keys.create(
            self.world.engine,
            name=name,
            scopes=scopes or EVERYTHING,
            pepper=PEPPER,
            wall=self.world.wall,
            actor=Actor(ActorKind.CLI, "test"),
        )
        return self.caller_with(key)

    def caller_with(self, key: str) -> Caller:
        caller = Caller(self.api.http_url, self.api.rpc.address, key)
        self._callers.append(caller)
        return caller

    def caller_without_a_key(self) -> Caller:
        return self.caller_with("")

    def figure(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


@contextmanager
def open_shop(world: World, **settings: object) -> Iterator[Shop]:
    """Open a shop and close it."""
    shop = Shop(world, **settings)
    try:
        shop.open()
        yield shop
    finally:
        shop.close()
