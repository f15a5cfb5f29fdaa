"""What the events of a meter come to: one exact quantity a segment of a period. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Final

from billing.plans.meters import Aggregate
from billing.rules.money import half_up

_ZERO: Final = Fraction(0)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FINEST: Final = 10**12


@dataclass(frozen=True, slots=True)
class CountedUsage:
    """What was counted of a meter in a segment of a period, whatever the order of its events.

    `moment` is the sum of each value times the instant of its event, in seconds since 1970. `keys`
    are how many different ones there were.
    """

    events: int = 0
    id_sum: int = 0
    sum: Fraction = _ZERO
    max: Fraction = _ZERO
    last: Fraction = _ZERO
    moment: Fraction = _ZERO
    keys: int = 0


NOTHING_COUNTED: Final = CountedUsage()


@dataclass(frozen=True, slots=True)
class MeteredSpan:
    """The time of a segment, and the whole period that it is a part of."""

    start: datetime
    end: datetime
    period_start: datetime
    period_end: datetime


def quantity_of(
    aggregate: Aggregate, total: CountedUsage, opening: Fraction, span: MeteredSpan
) -> Fraction:
    """Return the quantity that is billed: never below zero, at most 12 decimals.

    `opening` is the level when the segment begins; a level is the mean over the whole period, to
    which a segment adds its part.
    """
    match aggregate:
        case Aggregate.COUNT:
            return Fraction(total.events)
        case Aggregate.SUM:
            return max(_ZERO, total.sum)
        case Aggregate.MAX:
            return max(_ZERO, total.max)
        case Aggregate.LAST:
            return max(_ZERO, total.last)
        case Aggregate.UNIQUE:
            return Fraction(total.keys)
        case Aggregate.LEVEL:
            return max(_ZERO, _mean_level(total, opening, span))


def _mean_level(total: CountedUsage, opening: Fraction, span: MeteredSpan) -> Fraction:
    """Return the part that a segment adds to the mean level of its period, half up."""
    length = _seconds(span.period_end) - _seconds(span.period_start)
    lasted = _seconds(span.end) - _seconds(span.start)
    mean = (opening * lasted + total.sum * _seconds(span.end) - total.moment) / length
    return Fraction(half_up(mean.numerator * _FINEST, mean.denominator), _FINEST)


def _seconds(at: datetime) -> Fraction:
    return Fraction((at - _EPOCH) // timedelta(microseconds=1), 10**6)
