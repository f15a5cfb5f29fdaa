"""Every metric that the code exports, asked of the code itself, without a database.

An empty database still yields every figure, so a connection that finds nothing is enough.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from billing.api.metrics import ApiMetrics
from billing.console.metrics import ConsoleMetrics
from billing.workers.runtime.metrics import ProcessMetrics, StateCollector
from billing.workers.runtime.runtime import Runtime

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Exported:
    """One metric as a scrape shows it; a counter's name ends in `_total`."""

    name: str
    kind: str
    labels: frozenset[str]


class _NothingFound(list[Any]):
    """The result of any query on an empty database."""

    def scalar(self) -> int:
        return 0

    def scalar_one(self) -> int:
        return 0

    def all(self) -> list[Any]:
        return []


class _EmptyDatabase:
    """Stands for engine and connection: every query finds nothing."""

    @contextmanager
    def connect(self) -> Iterator["_EmptyDatabase"]:
        yield self

    def execute(self, *_: object) -> _NothingFound:
        return _NothingFound()


class _EmptyQueue:
    """Stands for the broker and its client."""

    namespace = "billing"

    @property
    def client(self) -> "_EmptyQueue":
        return self

    def hlen(self, _key: str) -> int:
        return 0

    def set(self, _key: str, _value: str, px: int) -> None:
        """Take it."""


class _StandingClock:
    def now(self) -> datetime:
        return NOW

    def wall(self) -> datetime:
        return NOW


class _Parts:
    """As much of a `Runtime` as a scrape touches."""

    engine = _EmptyDatabase()
    clock = _StandingClock()
    broker = _EmptyQueue()


def exported_metrics() -> Mapping[str, Exported]:
    """Return every metric of every role by name."""
    registry = CollectorRegistry()
    ProcessMetrics(registry, "scheduler", "0")
    ApiMetrics(registry)
    ConsoleMetrics(registry)
    registry.register(StateCollector(cast(Runtime, _Parts())))
    found = {}
    for family in registry.collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found[name] = Exported(name, family.type, _labels(registry, family))
    return found


def _labels(registry: CollectorRegistry, family: Metric) -> frozenset[str]:
    """Return a family's label names, also where it has no sample yet."""
    sources = [
        collector
        for collector, names in registry._collector_to_names.items()
        if family.name in names
    ]
    names = {name for source in (family, *sources) for name in getattr(source, "_labelnames", ())}
    return frozenset(names)
