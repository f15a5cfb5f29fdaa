"""Flows of usage: what came late is billed, or given back."""

from datetime import timedelta
from typing import Final

from billing.flows.usage.book import UsageBook
from billing.flows.usage.ingesting import ingest
from billing.ids import new_id
from billing.rules.usage import UsageNumber
from tests.delivery.crash.flow import flow
from tests.delivery.crash.flows import tick
from tests.scenarios.world import Subscriber, World

USAGE: Final = "usage that came late"
PLAN: Final = """
product = "Search"

[[meter]]
code = "searches"
event = "search"
value = "n"
aggregate = "sum"

[[plan]]
code = "searching"
every = "1 week"
  [[plan.version]]
  effective = 2026-01-01
    [[plan.version.item]]
    code = "searches"
    meter = "searches"
    tiers = "volume"
    tier = [{ up_to = 15, unit = { USD = "1.00" } }, { unit = { USD = "0.50" } }]
"""


def _billed(world: World, late: int) -> Subscriber:
    """Let usage of a first period be billed, and more of it come late before the next invoice."""
    world.publish(PLAN)
    subscriber = world.subscribed("searching")
    began = world.now
    world.settle()
    _send(world, subscriber, 15)
    world.run_until(f"{began + timedelta(days=7, hours=2)}"[:19])
    _send(world, subscriber, late, hours_ago=5)
    due = began + timedelta(days=14, hours=1)
    world.jump_to(f"{due}"[:19])
    return subscriber


def _send(world: World, subscriber: Subscriber, units: int, *, hours_ago: int = 0) -> None:
    row = {
        "id": str(new_id()),
        "event": "search",
        "subscription": subscriber.reference,
        "at": (world.now - timedelta(hours=hours_ago)).isoformat(),
        "properties": {"n": UsageNumber(units)},
    }
    assert ingest(world.engine, UsageBook(), [row], world.now).accepted == 1


@flow("usage that got cheaper is given back", lambda w: _billed(w, 1), group=USAGE, grows=True)
def _give_back(world: World, _: Subscriber) -> None:
    tick(world)
