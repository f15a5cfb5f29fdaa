"""What a decision on taxes follows from, as a value and as a canonical document."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from billing.plans.countries import EU
from billing.plans.taxes import TaxRate, has_regions, rate_from_terms, rates_on
from billing.plans.territories import TERRITORIES, TerritoryKind, named

ReverseCharge = Literal["valid", "confirmed"]


@dataclass(frozen=True, slots=True)
class Seller:
    """Where the seller is, and where they are registered: "GB", "US-NY", or "EU" for all of it.

    `reverse_charge` says which VAT ids count: those of a valid form that the register didn't deny,
    or those alone that it confirmed.
    """

    country: str
    registrations: frozenset[str] = frozenset()
    reverse_charge: ReverseCharge = "valid"

    @property
    def is_in_eu_system(self) -> bool:
        """Tell whether they levy VAT by the rules of the EU, in all of it."""
        return self.country in EU or "EU" in self.registrations

    def regions_of(self, country: str) -> frozenset[str]:
        """Return the regions of a country that they are registered in, where it is by region."""
        return frozenset(
            each.partition("-")[2] for each in self.registrations if each.startswith(f"{country}-")
        )


@dataclass(frozen=True, slots=True)
class Buyer:
    """Where the buyer is, and what lets them pay no tax.

    `vat_confirmed` is what the register of VAT ids said last; None where it wasn't asked or didn't
    answer. `exempt` is the reason of an exemption. `territory` is the name of a special territory
    that they are in, for the taxes that follow from the catalog's rates.
    """

    country: str | None = None
    region: str | None = None
    postal_code: str | None = None
    vat_id: str | None = None
    vat_confirmed: bool | None = None
    exempt: str | None = None
    territory: str | None = None

    @property
    def place(self) -> "TaxedPlace":
        """Return where they are, as taxes have it. Raises: ValueError, for no known territory."""
        if self.territory is None:
            return TaxedPlace(self.country, self.region)
        found = named(self.territory)
        return TaxedPlace(found.country, found.region or self.region, found.kind)


@dataclass(frozen=True, slots=True)
class TaxedPlace:
    """A country and a region of it; what sort of special territory that is, if it is one."""

    country: str | None
    region: str | None = None
    kind: TerritoryKind | None = None

    @property
    def is_own(self) -> bool:
        """Tell whether the rates of the country don't hold in it."""
        return self.kind in (TerritoryKind.OUTSIDE, TerritoryKind.OWN_RATES)

    @property
    def jurisdiction(self) -> str:
        """The country; of a special territory its code, as "ES-CN"."""
        return f"{self.country}-{self.region}" if self.is_own else f"{self.country}"


@dataclass(frozen=True, slots=True, order=True)
class TaxedItem:
    """An item of an invoice, its class of taxes, and whether its price contains them."""

    item: str
    tax_class: str
    included: bool = False


@dataclass(frozen=True, slots=True)
class TaxRequest:
    """What a decision follows from; `rates` are those of the place on that day, all classes.

    `by_region` tells whether the taxes of the country depend on the region.
    """

    provider: str
    seller: Seller
    buyer: Buyer
    items: tuple[TaxedItem, ...]
    on: date
    rates: tuple[TaxRate, ...] = ()
    by_region: bool = False

    def document(self) -> str:
        """Return the canonical JSON of the request; what has its default is left out."""
        return json.dumps(_request_to(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_document(cls, document: str) -> "TaxRequest":
        """Read a document back. Raises: ValueError, KeyError."""
        request = _request_from(json.loads(document))
        if request.document() != document:
            raise ValueError("the document isn't canonical, or has keys that aren't known")
        return request


def request_at(
    provider: str,
    seller: Seller,
    buyer: Buyer,
    items: Iterable[TaxedItem],
    on: date,
    published: Iterable[TaxRate],
) -> TaxRequest:
    """Return the request of an invoice, with the rates that are published for the buyer's place."""
    wanted, rates = tuple(sorted(set(items))), tuple(published)
    place = buyer.place
    country = place.country or ""
    classes = sorted({each.tax_class for each in wanted})
    found = [rate for each in classes for rate in rates_on(rates, country, place.region, each, on)]
    if place.is_own:
        found = [rate for rate in found if rate.region is not None]
    by_region = has_regions([rate for rate in rates if not is_territory(rate)], country)
    return TaxRequest(provider, seller, buyer, wanted, on, tuple(found), by_region)


def is_territory(rate: TaxRate) -> bool:
    """Tell whether a rate is that of a special territory, where those of its country don't hold."""
    return rate.jurisdiction in TERRITORIES


def digest_of_request(document: str) -> str:
    """Return the SHA-256 of a request's document, in hexadecimal digits."""
    return hashlib.sha256(document.encode("ascii")).hexdigest()


def _request_to(request: TaxRequest) -> dict[str, Any]:
    seller, buyer = request.seller, request.buyer
    return _present(
        {
            "provider": request.provider,
            "seller": _present(
                {
                    "country": seller.country,
                    "registrations": sorted(seller.registrations),
                    "reverse_charge": seller.reverse_charge,
                }
            ),
            "buyer": _present({name: getattr(buyer, name) for name in Buyer.__dataclass_fields__}),
            "items": [[each.item, each.tax_class, each.included] for each in request.items],
            "on": request.on.isoformat(),
            "rates": [_rate_to(rate) for rate in request.rates],
            "by_region": request.by_region or None,
        }
    )


def _request_from(data: Mapping[str, Any]) -> TaxRequest:
    seller = data["seller"]
    return TaxRequest(
        provider=data["provider"],
        seller=Seller(
            seller["country"],
            frozenset(seller.get("registrations", ())),
            seller["reverse_charge"],
        ),
        buyer=Buyer(**data.get("buyer", {})),
        items=tuple(TaxedItem(*each) for each in data.get("items", ())),
        on=date.fromisoformat(data["on"]),
        rates=tuple(_rate_from(each) for each in data.get("rates", ())),
        by_region=data.get("by_region", False),
    )


def _rate_to(rate: TaxRate) -> list[Any]:
    return [
        rate.country,
        rate.region,
        rate.tax_class,
        rate.name,
        rate.since.isoformat(),
        rate.to_terms(),
    ]


def _rate_from(data: list[Any]) -> TaxRate:
    country, region, tax_class, name, since, terms = data
    return rate_from_terms(country, region, tax_class, name, date.fromisoformat(since), terms)


def _present(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value not in (None, [], {})}
