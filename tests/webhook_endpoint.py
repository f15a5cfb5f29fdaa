"""The provider's endpoint, open on a port of its own, for tests that deliver to it over HTTP."""

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Self

import requests
import uvicorn
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine

from billing.api import webhooks
from billing.api.webhooks import Intake
from billing.gateway.registry import KINDS
from billing.workers.runtime.clock import SystemClock
from billing.workers.runtime.metrics import ProcessMetrics
from tests.waiting import PATIENCE

ACCOUNT = "stripe"
ENDPOINT_PATH = webhooks.PATH.format(provider=ACCOUNT)
VERSION = "2026-10-28.endive"


def event(event_id: str = "evt_1", kind: str = "refund.failed", **changes: Any) -> dict[str, Any]:
    """Return an event as the provider posts it, with an object that nobody should keep."""
    made: dict[str, Any] = {
        "id": event_id,
        "object": "event",
        "api_version": VERSION,
        "created": 1_770_000_000,
        "livemode": False,
        "type": kind,
        "data": {"object": {"id": "re_1", "object": "refund", "card": {"last4": "4242"}}},
    }
    return made | changes


def signature(body: bytes, secret: str, at: int) -> str:
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


class WebhookEndpoint:
    """One server; `deliver` posts to it as the provider does."""

    def __init__(
        self, engine: Engine, *secrets: str, live: bool = False, kind: str = "stripe"
    ) -> None:
        self.clock = SystemClock()
        self.registry = CollectorRegistry()
        metrics = ProcessMetrics(self.registry, "api", "0")
        self.secrets = secrets
        app = FastAPI(openapi_url=None)
        app.include_router(webhooks.router)
        app.include_router(webhooks.questions)
        if secrets:
            app.state.webhooks = dict.fromkeys(
                [ACCOUNT],
                Intake(
                    engine=engine,
                    provider=ACCOUNT,
                    kind=KINDS[kind],
                    wall=self.clock.wall,
                    secrets=secrets,
                    tolerance=timedelta(minutes=5),
                    live=live,
                    received=metrics.webhook_received,
                    refused=metrics.webhook_refused,
                ),
            )
        config = uvicorn.Config(app, port=0, log_config=None, access_log=False, lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self.url = ""

    def __enter__(self) -> Self:
        self._thread.start()
        while not self._server.started:
            time.sleep(0.005)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}{ENDPOINT_PATH}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()

    def post(self, body: bytes | Iterator[bytes], **headers: str) -> requests.Response:
        """Post a body as it is; an underscore in a header's name is a dash."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return requests.post(self.url, data=body, headers=named, timeout=PATIENCE)

    def ask(self, **query: str) -> requests.Response:
        """Ask the endpoint something, as a provider may before it delivers there."""
        return requests.get(self.url, params=query, timeout=PATIENCE)

    def deliver(
        self,
        what: dict[str, Any],
        *,
        secret: str | None = None,
        age: int = 0,
        content_type: str = "application/json; charset=utf-8",
    ) -> requests.Response:
        """Sign an event and post it; `age` says how many seconds ago it was signed."""
        body = json.dumps(what).encode()
        at = int(self.clock.wall().timestamp()) - age
        signed = signature(body, secret or self.secrets[0], at)
        return self.post(body, content_type=content_type, stripe_signature=signed)

    def counted(self, name: str, **labels: str) -> float:
        """Return a counter of the process behind the endpoint, of all accounts together."""
        return sum(
            sample.value
            for metric in self.registry.collect()
            for sample in metric.samples
            if sample.name == f"billing_webhook_{name}_total"
            and labels.items() <= sample.labels.items()
        )
