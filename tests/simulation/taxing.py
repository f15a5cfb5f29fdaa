"""What taxes come to: where a customer is, at which rate, and their part of each line.

A part of the model: it shares no code with the engine, and follows the page of taxes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from fractions import Fraction
from typing import Final

from tests.simulation.amounts import Line, half_up, split

SELLER: Final = "DE"
REGISTERED: Final = "GB"  # beside the seller's own country
CLASS: Final = "standard"
EU: Final = frozenset({"DE", "FR", "IT"})


@dataclass(frozen=True)
class Rate:
    """What is levied in a country from a day on, in percent."""

    country: str
    percent: Fraction
    since: date


RATES: Final = (
    Rate("DE", Fraction(19), date(2021, 1, 1)),
    Rate("DE", Fraction(16), date(2026, 2, 14)),
    Rate("FR", Fraction(20), date(2021, 1, 1)),
    Rate("FR", Fraction("5.5"), date(2026, 3, 9)),
    Rate("IT", Fraction(22), date(2021, 1, 1)),
    Rate("GB", Fraction(20), date(2021, 1, 1)),
)


@dataclass(frozen=True)
class Place:
    """Where a customer is, with their VAT id and the reason why they are exempt, if any."""

    country: str
    vat_id: str = ""
    exempt: str = ""


PLACES: Final = {
    "home": Place("DE"),
    "business at home": Place("DE", vat_id="DE136695976"),
    "France": Place("FR"),
    "Italy": Place("IT"),
    "business in Italy": Place("IT", vat_id="IT00743110157"),
    "Britain": Place("GB"),
    "America": Place("US"),
    "exempt": Place("DE", exempt="a school"),
}


def percent_at(place: Place, day: date) -> Fraction:
    """Return the rate at which something is taxed that is invoiced on a day."""
    abroad = place.country != SELLER
    reverse = place.country in EU and abroad and bool(place.vat_id)
    levied = place.country in EU or place.country in (SELLER, REGISTERED)
    if place.exempt or reverse or not levied:
        return Fraction(0)
    rates = [each for each in RATES if each.country == place.country and each.since <= day]
    return max(rates, key=lambda each: each.since).percent


def taxed(lines: Sequence[Line], percent: Fraction, step: int) -> tuple[Line, ...]:
    """Return lines with their tax: in the price, or on top; each sort is rounded together."""
    found = list(lines)
    for included in (True, False):
        bearing = [n for n, line in enumerate(lines) if line.included == included]
        amounts = [lines[n].gross - lines[n].discount for n in bearing]
        share = percent / (100 + percent) if included else percent / 100
        total = half_up(sum(amounts) * share, step)
        parts = split(total, amounts, step) if total else [0] * len(amounts)
        for n, part in zip(bearing, parts, strict=True):
            found[n] = replace(lines[n], tax=part)
    return tuple(found)
