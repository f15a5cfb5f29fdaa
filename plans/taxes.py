"""What a catalog says of taxes: the class of what is sold, and dated rates by place and class."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from fractions import Fraction
from typing import Any, Final

from billing.plans.numbers import format_number, parse_number

_TAX_TERMS: Final = frozenset(("class", "included"))


@dataclass(frozen=True, slots=True)
class TaxTerms:
    """How something is taxed: its class, and whether its price contains the tax.

    What is None is as the terms around it say, or as it is usual.
    """

    tax_class: str | None = None
    included: bool | None = None

    def within(self, around: "TaxTerms") -> "TaxTerms":
        """Return these terms, completed by those around them."""
        return TaxTerms(
            around.tax_class if self.tax_class is None else self.tax_class,
            around.included if self.included is None else self.included,
        )

    def to_terms(self) -> dict[str, Any]:
        """Return them as JSON-able values, absent ones left out."""
        terms = {"class": self.tax_class, "included": self.included}
        return {key: value for key, value in terms.items() if value is not None}

    @classmethod
    def from_terms(cls, terms: Mapping[str, Any]) -> "TaxTerms":
        """Rebuild them from `to_terms`. Raises: ValueError, for terms that aren't known."""
        unknown = sorted(terms.keys() - _TAX_TERMS)
        if unknown:
            raise ValueError(f"unknown terms of a tax: {unknown}")
        return cls(terms.get("class"), terms.get("included"))


USUAL_TAX: Final = TaxTerms()
"""What says nothing: all is as usual."""


class RateTreatment(StrEnum):
    """How a law calls a rate."""

    STANDARD = "standard"
    REDUCED = "reduced"
    ZERO = "zero"
    EXEMPT = "exempt"


@dataclass(frozen=True, slots=True)
class TaxRate:
    """One tax in a country or a region of it, on a class of what is sold, in percent.

    It holds from the civil day `since` on, until the day before `until` or until the next one of
    its name.
    """

    country: str
    tax_class: str
    name: str
    rate: Fraction
    since: date
    region: str | None = None
    until: date | None = None
    treatment: RateTreatment = RateTreatment.STANDARD

    @property
    def jurisdiction(self) -> str:
        """The country, or its region, as "US-NY"."""
        return self.country if self.region is None else f"{self.country}-{self.region}"

    @property
    def of(self) -> tuple[str, str, str]:
        """What it is a rate of: jurisdiction, class and name."""
        return self.jurisdiction, self.tax_class, self.name

    def to_terms(self) -> dict[str, Any]:
        """Return what holds of it, as JSON-able values."""
        terms = {"rate": format_number(self.rate)}
        if self.until is not None:
            terms["until"] = self.until.isoformat()
        if self.treatment is not RateTreatment.STANDARD:
            terms["treatment"] = self.treatment
        return terms


def rate_from_terms(
    country: str,
    region: str | None,
    tax_class: str,
    name: str,
    since: date,
    terms: Mapping[str, Any],
) -> TaxRate:
    """Rebuild a rate from `to_terms`. Raises: ValueError."""
    until = terms.get("until")
    return TaxRate(
        country=country,
        region=region,
        tax_class=tax_class,
        name=name,
        rate=parse_number(terms["rate"]),
        since=since,
        until=None if until is None else date.fromisoformat(until),
        treatment=RateTreatment(terms.get("treatment", RateTreatment.STANDARD)),
    )


def rates_on(
    rates: Iterable[TaxRate], country: str, region: str | None, tax_class: str, day: date
) -> tuple[TaxRate, ...]:
    """Return the taxes on a class at a place on a day: those of the country and of its region.

    Of one name, the one that began last holds.
    """
    held: dict[tuple[str, str, str], TaxRate] = {}
    for rate in rates:
        if rate.country != country or rate.tax_class != tax_class or rate.since > day:
            continue
        if rate.region is None or rate.region == region:
            before = held.get(rate.of)
            if before is None or before.since < rate.since:
                held[rate.of] = rate
    found = [rate for rate in held.values() if rate.until is None or day < rate.until]
    return tuple(sorted(found, key=_by_place))


def has_regions(rates: Iterable[TaxRate], country: str) -> bool:
    """Tell whether some tax of a country is that of a region."""
    return any(rate.country == country and rate.region is not None for rate in rates)


def without_rate(
    rates: Iterable[TaxRate], countries: Iterable[str], classes: Iterable[str]
) -> Iterator[tuple[str, str]]:
    """Yield each country and class that nothing is levied by: not even a rate of zero."""
    known = {(rate.country, rate.tax_class) for rate in rates}
    wanted = sorted(set(classes))
    for country in sorted(set(countries)):
        yield from ((country, each) for each in wanted if (country, each) not in known)


def _by_place(rate: TaxRate) -> tuple[bool, str, str]:
    return rate.region is not None, rate.jurisdiction, rate.name
