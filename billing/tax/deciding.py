"""Decisions by the catalog's rates: where something is taxed, and what is levied there.

The rules of place are those for services to businesses and consumers (Directive 2006/112/EC,
articles 44, 58 and 196): a buyer is taxed where they are; a business of another member state owes
the tax itself.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction
from typing import Final

from billing.plans.countries import EU
from billing.plans.territories import TerritoryKind
from billing.pricing import Tax
from billing.tax.requests import Buyer, Seller, TaxedPlace, TaxRequest
from billing.tax.undecided import Undecided, UndecidedReason
from billing.tax.vat_prefixes import member_state_of

_ZERO: Final = Fraction(0)


class Treatment(StrEnum):
    """How a buyer's taxes are treated, where they aren't those of a rate."""

    EXEMPT = "exempt"
    REVERSE_CHARGE = "reverse_charge"
    NOT_REGISTERED = "not_registered"


OUTSIDE_EU: Final = "outside_eu"
"""The reason of an exemption: a seller in the EU, a buyer outside."""


@dataclass(frozen=True, slots=True)
class TableDecision:
    """Where it is taxed and how; `treatment` is None where rates are levied."""

    jurisdiction: str
    treatment: Treatment | None = None
    reason: str = ""


def decide(request: TaxRequest) -> tuple[Tax, ...]:
    """Return the taxes of an invoice's items. Raises: Undecided."""
    found = place_of(request)
    if found.treatment is not None:
        return (_untaxed(found, found.treatment),)
    return _merged(_levied(request), [each.item for each in request.items])


def place_of(request: TaxRequest) -> TableDecision:
    """Return where a request is taxed, and how. Raises: Undecided."""
    seller, buyer, place = request.seller, request.buyer, request.buyer.place
    if place.country is None:
        raise Undecided(UndecidedReason.PLACE_MISSING)
    where = place.jurisdiction
    if buyer.exempt is not None:
        return TableDecision(where, Treatment.EXEMPT, buyer.exempt)
    if seller.is_in_eu_system and _is_in_eu(place):
        if place.country != seller.country and _is_business(seller, buyer):
            reason = f"VAT id {buyer.vat_id}"
            return TableDecision(place.country, Treatment.REVERSE_CHARGE, reason)
        return TableDecision(where)
    if _is_registered(seller, place):
        return TableDecision(where)
    if seller.country in EU:
        return TableDecision(where, Treatment.EXEMPT, OUTSIDE_EU)
    return TableDecision(where, Treatment.NOT_REGISTERED, "no registration there")


def _is_in_eu(place: TaxedPlace) -> bool:
    """Tell whether a place is in the VAT of the EU."""
    return place.country in EU and place.kind is not TerritoryKind.OUTSIDE


def _is_business(seller: Seller, buyer: Buyer) -> bool:
    """Tell whether a buyer counts as a business of their member state."""
    if buyer.vat_id is None or buyer.vat_confirmed is False:
        return False
    if member_state_of(buyer.vat_id) in (None, seller.country):
        return False
    return buyer.vat_confirmed is True or seller.reverse_charge == "valid"


def _is_registered(seller: Seller, place: TaxedPlace) -> bool:
    assert place.country is not None, "the place is known"
    if place.kind is TerritoryKind.OUTSIDE:
        return place.jurisdiction in seller.registrations
    regions = seller.regions_of(place.country)
    if not regions:
        return place.country == seller.country or place.country in seller.registrations
    if place.region is None:
        raise Undecided(UndecidedReason.REGION_MISSING, place.country)
    return place.region in regions


def _untaxed(found: TableDecision, treatment: Treatment) -> Tax:
    return Tax(
        name="VAT" if found.jurisdiction[:2] in EU else "Tax",
        rate=_ZERO,
        jurisdiction=found.jurisdiction,
        treatment=treatment,
        reason=found.reason,
    )


def _levied(request: TaxRequest) -> Iterator[tuple[Tax, str]]:
    """Yield each tax with an item that bears it."""
    place = request.buyer.place
    country = place.jurisdiction
    if request.by_region and place.region is None:
        raise Undecided(UndecidedReason.REGION_MISSING, country)
    for each in request.items:
        taxes = [rate for rate in request.rates if rate.tax_class == each.tax_class]
        if not taxes:
            raise Undecided(UndecidedReason.RATE_MISSING, country, each.tax_class)
        for rate in taxes:
            tax = Tax(
                name=rate.name,
                rate=rate.rate,
                jurisdiction=rate.jurisdiction,
                treatment=rate.treatment,
                included=each.included,
            )
            yield tax, each.item


def _merged(levied: Iterable[tuple[Tax, str]], every: Iterable[str]) -> tuple[Tax, ...]:
    """Return each tax once, with the items that bear it; None where all do."""
    bearing: dict[Tax, set[str]] = {}
    for tax, item in levied:
        bearing.setdefault(tax, set()).add(item)
    whole = set(every)
    return tuple(
        replace(tax, on=None if items == whole else tuple(sorted(items)))
        for tax, items in bearing.items()
    )
