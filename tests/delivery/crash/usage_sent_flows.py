"""Flows of usage: events are counted, and old days are taken out."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from billing.flows.cycles.usage_alerts import UsageAlerts
from billing.flows.usage import pruning
from billing.flows.usage.book import UsageBook
from billing.flows.usage.ingesting import ingest
from billing.rules.usage import UsageNumber
from billing.store.engine import make_engine
from tests.delivery.crash.flow import flow
from tests.delivery.crash.flows import OPERATOR
from tests.scenarios.metering import CATALOG, Usage
from tests.scenarios.world import World


def _sent(world: World) -> Sequence[Any]:
    world.publish(CATALOG)
    usage = Usage(world, world.subscribed("metered"))
    return [usage.event(n=UsageNumber("3")), usage.event("call", user="bob")]


@flow("usage is counted", _sent, again=True)
def _count(world: World, rows: Sequence[Any]) -> None:
    ingest(world.engine, UsageBook(), rows, world.now)


def _counted(world: World) -> None:
    """Count usage of another day each time: one that was taken out takes no more."""
    world.jump_to((world.now + timedelta(days=1)).isoformat())
    ingest(world.engine, UsageBook(), _sent(world), world.now)


@flow("old days of usage are taken out", _counted, again=True)
def _prune(world: World, _: None) -> None:
    now = world.now + timedelta(days=90)
    owner = make_engine(world.runtime.settings.database.url, role=None)
    plan = pruning.planned(owner, now, timedelta(days=60))
    list(pruning.prune(owner, plan, now, OPERATOR))
    owner.dispose()


ALERTED: Final = CATALOG.replace(
    'meter = "searches"', 'meter = "searches"\n    included = 10\n    alert = 80'
)


def _nearly_used(world: World) -> None:
    world.publish(ALERTED)
    usage = Usage(world, world.subscribed("metered"))
    world.settle()
    assert usage.send(usage.event(n=UsageNumber("9"))).accepted == 1


@flow("usage that passed a threshold is noted", _nearly_used, again=True)
def _look(world: World, _: None) -> None:
    UsageAlerts().look(world.engine, world.now)
