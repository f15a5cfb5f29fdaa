"""A plan that bills usage by every kind of meter, and events for it."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import text

from billing.flows.usage.book import UsageBook
from billing.flows.usage.ingesting import UsageAnswer, ingest
from billing.ids import new_id
from billing.rules.usage import UsageNumber
from tests.scenarios.world import Subscriber, World

CATALOG = """
product = "Search"

[[meter]]
code = "searches"
event = "search"
aggregate = "sum"
value = "n"
where = { region = ["eu", "us"] }

[[meter]]
code = "calls"
event = "call"

[[meter]]
code = "callers"
event = "call"
aggregate = "unique"
key = "user"

[[meter]]
code = "peak"
event = "gauge"
aggregate = "max"
value = "n"

[[meter]]
code = "latest"
event = "gauge"
aggregate = "last"
value = "n"

[[meter]]
code = "boxes"
event = "box"
aggregate = "level"
value = "n"

[[plan]]
code = "metered"
every = "1 month"
  [[plan.version]]
  effective = 2026-01-01
    [[plan.version.item]]
    code = "base"
    price = { USD = "99.00" }
    [[plan.version.item]]
    code = "searches"
    meter = "searches"
    unit = { USD = "0.001" }
    late_for = "10 days"
    [[plan.version.item]]
    code = "calls"
    meter = "calls"
    unit = { USD = "0.01" }
    [[plan.version.item]]
    code = "callers"
    meter = "callers"
    unit = { USD = "1.00" }
    [[plan.version.item]]
    code = "peak"
    meter = "peak"
    unit = { USD = "0.10" }
    [[plan.version.item]]
    code = "latest"
    meter = "latest"
    unit = { USD = "0.10" }
    [[plan.version.item]]
    code = "boxes"
    meter = "boxes"
    unit = { USD = "2.00" }
"""


class Usage:
    """Events of one subscriber in a world, and what they came to."""

    def __init__(self, world: World, subscriber: Subscriber) -> None:
        self.world = world
        self.subscriber = subscriber
        self.book = UsageBook()

    def event(self, name: str = "search", *, ago: str = "0s", **more: Any) -> dict[str, Any]:
        """Return one event; `ago` is in seconds, like -60s for one ahead."""
        at = self.world.now - timedelta(seconds=int(ago.removesuffix("s")))
        known = ("id", "at", "subscription", "customer", "item", "event")
        properties = {key: value for key, value in more.items() if key not in known}
        if name == "search":
            properties = {"n": UsageNumber("1"), "region": "eu"} | properties
        row = {
            "id": str(new_id()),
            "event": name,
            "subscription": str(self.subscriber.subscription_id),
            "at": at.isoformat(),
            "properties": properties,
        } | {key: value for key, value in more.items() if key in known}
        return {key: value for key, value in row.items() if value is not None}

    def send(self, *rows: Any) -> UsageAnswer:
        return ingest(self.world.engine, self.book, rows, self.world.now)

    def refused(self, *rows: Any) -> list[str]:
        """Return why events are refused, which all are."""
        answer = self.send(*rows)
        assert len(answer.refused) == len(rows)
        return [str(each.reason) for each in answer.refused]

    def totals(self, *columns: str) -> dict[tuple[str, int], Any]:
        """Return columns of every total, by meter and period."""
        names = ", ".join(f"CAST(trim_scale(CAST({name} AS numeric)) AS text)" for name in columns)
        with self.world.engine.connect() as conn:
            rows = conn.execute(text(f"SELECT meter, n, {names} FROM usage_totals")).all()
        return {(row[0], row[1]): row[2] if len(columns) == 1 else tuple(row[2:]) for row in rows}

    def received(self) -> dict[str, int]:
        """Return how many events had which outcome."""
        query = "SELECT outcome, sum(events) FROM usage_counts GROUP BY outcome"
        with self.world.engine.connect() as conn:
            return {row[0]: int(row[1]) for row in conn.execute(text(query))}


def everything(world: World) -> dict[str, Sequence[Any]]:
    """Return the rows of every table of usage but ids and what was received."""
    with world.engine.connect() as conn:
        return {
            table: conn.execute(text(f"SELECT * FROM {table} ORDER BY 1, 2, 3, 4, 5")).all()
            for table in ("usage_totals", "usage_keys")
        }
