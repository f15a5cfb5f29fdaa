"""What the events of a segment come to, as the product adds them up in SQL."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Final

from billing.rules.usage_quantities import CountedUsage

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class OneEvent:
    """One event, by its id; whoever counts different keys reads `key`."""

    id: int
    at: datetime
    value: Fraction = Fraction(0)
    key: Hashable = None


def counted(events: Iterable[OneEvent]) -> CountedUsage:
    """Return the total of events, each of which counts once, in whatever order they come."""
    once = sorted({each.id: each for each in events}.values(), key=lambda each: (each.at, each.id))
    if not once:
        return CountedUsage()
    return CountedUsage(
        events=len(once),
        id_sum=sum(each.id for each in once) % 2**128,
        sum=sum((each.value for each in once), Fraction(0)),
        max=max(each.value for each in once),
        last=once[-1].value,
        moment=sum((each.value * _seconds(each.at) for each in once), Fraction(0)),
        keys=len({each.key for each in once if each.key is not None}),
    )


def _seconds(at: datetime) -> Fraction:
    return Fraction((at - _EPOCH) // timedelta(microseconds=1), 10**6)
