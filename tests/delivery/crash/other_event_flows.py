"""Flows about what the other provider tells, which lists no events: it is delivered, or read."""

from datetime import timedelta
from typing import Final

from billing.api.webhooks import Intake
from billing.gateway.registry import KINDS
from billing.sandbox.braintree.notifications import form_of, payload_of
from billing.workers.daemons.webhooks import Webhooks
from tests.delivery.crash.flow import OTHER_ACCOUNT
from tests.delivery.crash.flows import DAY
from tests.delivery.crash.other_account_flows import flow, single, till
from tests.scenarios.world import World

EVENTS: Final = "events of the other provider"
KEYS: Final = ("public", "private")


def _paid_out(world: World) -> str:
    """Return a payment that was paid out by the other provider."""
    single(world)
    world.settle()
    world._pin(world.now + 4 * DAY)
    (found,) = world.gateways.of(OTHER_ACCOUNT).list_charges(since=world.now - 5 * DAY)
    return str(found[0].id)


def _webhooks(world: World) -> Webhooks:
    return Webhooks(world.runtime, world.metrics)


def _delivered(world: World) -> bytes:
    """Return a delivery, which comes again as it was."""
    subject = {"id": _paid_out(world), "type": "sale"}
    at = int(world.wall.timestamp())
    content = payload_of("transaction_settled", at, "transaction", subject)
    return form_of(content, [KEYS], "good")


@flow("an event of the other provider is delivered", _delivered, again=True, group=EVENTS)
def _take(world: World, body: bytes) -> None:
    intake = Intake(
        engine=world.engine,
        provider=OTHER_ACCOUNT,
        kind=KINDS["braintree"],
        wall=world.runtime.clock.wall,
        secrets=[":".join(KEYS)],
        tolerance=timedelta(minutes=5),
        live=False,
        received=world.metrics.webhook_received,
        refused=world.metrics.webhook_refused,
    )
    intake.take(body, {})


def _disputed(world: World) -> None:
    """Let a dispute be opened that no event told of."""
    till(world).charge_back(_paid_out(world))


@flow("a dispute at the other provider is read", _disputed, again=True, group=EVENTS)
def _read(world: World, _: object) -> None:
    _webhooks(world).sweep(OTHER_ACCOUNT)


def _read_and_waiting(world: World) -> None:
    _disputed(world)
    _webhooks(world).sweep(OTHER_ACCOUNT)


@flow("events of a dispute at the other provider are handled", _read_and_waiting, group=EVENTS)
def _handle(world: World, _: object) -> None:
    _webhooks(world).handle_due()
