"""Meters: what of the events that are sent is counted for an item, and how. Frozen values.

A definition stands in the terms of every version that uses it, so that it can't change under what
was agreed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

LATE_FOR: Final = timedelta(days=35)
"""How late usage is accepted where a catalog doesn't say."""

_TERMS: Final = frozenset(("code", "event", "aggregate", "value", "key", "where"))


class Aggregate(StrEnum):
    """How the events of a period become one quantity."""

    COUNT = "count"
    """How many there are."""
    SUM = "sum"
    """The sum of a value."""
    MAX = "max"
    """The largest value."""
    LAST = "last"
    """The value of the latest one, by its instant."""
    UNIQUE = "unique"
    """How many different keys they have."""
    LEVEL = "level"
    """The mean, over time, of a level that their values change."""


VALUED: Final = frozenset((Aggregate.SUM, Aggregate.MAX, Aggregate.LAST, Aggregate.LEVEL))
"""The aggregates that read a value."""


@dataclass(frozen=True, slots=True)
class Meter:
    """What is counted: events of a name whose properties have one of the values in `where`.

    `value` and `key` name the properties that are read.
    """

    code: str
    event: str
    aggregate: Aggregate = Aggregate.COUNT
    value: str | None = None
    key: str | None = None
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "where", MappingProxyType(dict(self.where)))
        if (self.value is not None) != (self.aggregate in VALUED):
            raise ValueError(f"meter {self.code}: {self.aggregate} and a value don't fit")
        if (self.key is not None) != (self.aggregate is Aggregate.UNIQUE):
            raise ValueError(f"meter {self.code}: {self.aggregate} and a key don't fit")


def meter_terms(meter: Meter) -> dict[str, Any]:
    """Return a meter's definition as JSON-able values, absent ones left out."""
    terms: dict[str, Any] = {
        "code": meter.code,
        "event": meter.event,
        "aggregate": str(meter.aggregate),
    }
    if meter.value is not None:
        terms["value"] = meter.value
    if meter.key is not None:
        terms["key"] = meter.key
    if meter.where:
        terms["where"] = {name: list(values) for name, values in sorted(meter.where.items())}
    return terms


def meter_from_terms(terms: Mapping[str, Any]) -> Meter:
    """Rebuild a meter from `meter_terms`. Raises: ValueError, for terms that aren't known."""
    unknown = sorted(terms.keys() - _TERMS)
    if unknown:
        raise ValueError(f"unknown terms of a meter: {unknown}")
    return Meter(
        code=terms["code"],
        event=terms["event"],
        aggregate=Aggregate(terms["aggregate"]),
        value=terms.get("value"),
        key=terms.get("key"),
        where={name: tuple(values) for name, values in terms.get("where", {}).items()},
    )
