"""Webhook deliveries from the provider to us, for stories about webhooks.

The provider delivers over HTTP to a real endpoint; what comes through stands in the inbox until
`handle` plays the part of the process that handles it.
"""

import contextlib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from pydantic import SecretStr

from billing.flows.webhooks.handling import Result
from billing.flows.webhooks.inbox import Swept
from billing.store.access import events
from billing.store.access.events import Event
from billing.workers.daemons.webhooks import Webhooks
from tests.scenarios.world import World, WorldRuntime
from tests.waiting import PATIENCE
from tests.webhook_endpoint import WebhookEndpoint

SECRET = "whsec_of_the_story"
ROUNDS = 20


class WebhookDeliveries:
    """A world with webhooks."""

    def __init__(self, world: World, endpoint: WebhookEndpoint) -> None:
        self.world = world
        self.endpoint = endpoint
        self.webhooks = Webhooks(world.runtime, world.metrics)
        self._control("webhooks", url=endpoint.url, secrets=[SECRET])

    def _control(self, page: str, **body: Any) -> dict[str, Any]:
        return self.world.psp._control("POST", page, **body)

    def conditions(self, **conditions: Any) -> None:
        """Say how deliveries travel from now on."""
        self._control("webhooks/conditions", **conditions)

    def arrive(self) -> None:
        """Wait until nothing is on its way any more."""
        found = self._control("webhooks/settle", timeout_ms=int(PATIENCE * 1000))
        assert not found["deliveries"].get("pending"), found

    def arrive_and_handle(self) -> list[Result]:
        """Let everything arrive, and handle it; what is put off is tried again a little later."""
        self.arrive()
        return self.handle()

    def handle(self) -> list[Result]:
        """Handle what has arrived."""
        results = self.webhooks.handle_due()
        for _ in range(ROUNDS):
            if not self.inbox(unhandled=True):
                break
            self.world.wait(timedelta(seconds=10))
            results += self.webhooks.handle_due()
        return results

    def sweep(self) -> Swept:
        """Ask the provider for what never arrived, and keep it."""
        return self.webhooks.sweep()

    def inbox(self, **only: Any) -> list[Event]:
        with self.world.engine.connect() as conn:
            return events.page(conn, **only, limit=10_000)

    def came_of(self, type_: str) -> list[tuple[str | None, dict[str, Any]]]:
        """Return what came of every event of a type: the outcome and its facts."""
        return [(row.handling, dict(row.facts)) for row in self.inbox(type_=type_)]

    def listed(self, **only: str) -> list[dict[str, Any]]:
        """Return the provider's own list of events, newest first."""
        psp = self.world.psp
        found: list[dict[str, Any]] = []
        params = {"limit": "100", **only}
        while True:
            answer = psp._http.get(f"{psp._url}/v1/events", params=params, timeout=PATIENCE).json()
            found += answer["data"]
            if not answer["has_more"]:
                return found
            params["starting_after"] = found[-1]["id"]


@contextlib.contextmanager
def webhooks_delivered_to(world: World) -> Iterator[WebhookDeliveries]:
    """Open an endpoint in front of a world, whose processes know its secret from then on."""
    settings = world.runtime.settings
    known = settings.webhooks.model_copy(update={"secrets": (SecretStr(SECRET),)})
    before = world.runtime
    world.runtime = WorldRuntime(settings.model_copy(update={"webhooks": known}), world=world)
    world.gateway = world.runtime.gateway
    try:
        with WebhookEndpoint(world.runtime.engine, SECRET) as endpoint:
            yield WebhookDeliveries(world, endpoint)
    finally:
        before.close()
