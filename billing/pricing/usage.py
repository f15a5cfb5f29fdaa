"""Usage of a period, as it is billed: what was counted, and what of it wasn't billed before."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from billing.plans.numbers import exact_text


@dataclass(frozen=True, slots=True)
class UsageClosing:
    """What was counted of a meter in a segment of a period by the time it was billed.

    `quantity` is all of it. The first `revision` bills that, each later one what came late.
    `id_sum` is the sum of the events' ids modulo 2^128: it says which events were billed.
    """

    meter: str
    n: int
    segment: int
    revision: int
    quantity: Fraction
    events: int
    id_sum: int


def closing_to(closing: UsageClosing) -> list[Any]:
    """Return a closing as JSON-able values."""
    place = [closing.meter, closing.n, closing.segment, closing.revision]
    return [*place, exact_text(closing.quantity), closing.events, str(closing.id_sum)]


def closings_from(rows: Sequence[Sequence[Any]]) -> tuple[UsageClosing, ...]:
    """Read closings back. Raises: ValueError, TypeError."""
    return tuple(
        UsageClosing(meter, n, segment, revision, Fraction(quantity), events, int(id_sum))
        for meter, n, segment, revision, quantity, events, id_sum in rows
    )
