"""The part of the story that is about usage: billed, late, given back, of a trial, after an end."""

from typing import Final

from billing.flows.usage.book import UsageBook
from billing.flows.usage.ingesting import ingest
from billing.ids import new_id
from billing.rules.usage import UsageNumber
from tests.scenarios.test_operators import cancel
from tests.scenarios.world import World

METERED: Final = """
product = "Search"

[[meter]]
code = "searches"
event = "search"
value = "n"
aggregate = "sum"

[[meter]]
code = "people"
event = "search"
key = "user"
aggregate = "unique"

[[plan]]
code = "metered"
every = "1 month"
anchor_day = 1
  [[plan.version]]
  effective = 2026-01-01
    [[plan.version.item]]
    code = "base"
    price = { USD = "30.00" }
    [[plan.version.item]]
    code = "searches"
    meter = "searches"
    tiers = "volume"
    tier = [{ up_to = 15, unit = { USD = "1.00" } }, { unit = { USD = "0.50" } }]
    minimum = { USD = "2.00" }
    [[plan.version.item]]
    code = "people"
    meter = "people"
    included = 1
    unit = { USD = "3.00" }

[[plan]]
code = "metered-trial"
every = "1 month"
trial = "14 days"
  [[plan.version]]
  effective = 2026-01-01
    [[plan.version.item]]
    code = "searches"
    meter = "searches"
    unit = { USD = "1.00" }
"""


class Used:
    """Who uses something, and what is sent for them."""

    def __init__(self, world: World) -> None:
        self._book = UsageBook()
        plans = {
            "billed": "metered",
            "cheaper": "metered",
            "ended": "metered",
            "trial": "metered-trial",
        }
        self.people = {name: world.subscribed(plan) for name, plan in plans.items()}

    def send(self, world: World, name: str, units: int, user: str = "ada") -> None:
        """Send one event of now."""
        row = {
            "id": str(new_id()),
            "event": "search",
            "subscription": self.people[name].reference,
            "at": world.now.isoformat(),
            "properties": {"n": UsageNumber(units), "user": user},
        }
        assert ingest(world.engine, self._book, [row], world.now).accepted == 1

    def late(self, world: World, name: str, units: int) -> None:
        """Send one event of January."""
        row = {
            "id": str(new_id()),
            "event": "search",
            "subscription": self.people[name].reference,
            "at": "2026-01-31T12:00:00Z",
            "properties": {"n": UsageNumber(units), "user": "bob"},
        }
        assert ingest(world.engine, self._book, [row], world.now).accepted == 1


def publish(world: World) -> None:
    """Put plans with meters on sale."""
    world.publish(METERED)


def january(world: World, used: Used) -> None:
    """Use something in January; one subscription ends with it."""
    for name, units in {"billed": 7, "cheaper": 15, "ended": 3, "trial": 2}.items():
        used.send(world, name, units)
    used.send(world, "billed", 1, user="bob")
    cancel(world, used.people["ended"], at_period_end=True)


def february(world: World, used: Used) -> None:
    """Use something in February, and tell of January what came late."""
    used.send(world, "billed", 4)
    used.late(world, "billed", 2)
    used.late(world, "cheaper", 1)
    used.late(world, "ended", 5)
