"""The terms of an item as JSON-able values, and back.

Absent ones are left out, so that equal terms make equal digests whatever a later release adds.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from fractions import Fraction
from typing import Any, Final, TypeVar

from billing.plans.currencies import format_unit_price, parse_unit_price
from billing.plans.items import Item, Package, QuantityRange, Tier
from billing.plans.meters import meter_from_terms, meter_terms
from billing.plans.numbers import format_number, parse_number
from billing.plans.taxes import TaxTerms

_T = TypeVar("_T")
_ITEM_TERMS: Final = frozenset((
    "code", "name", "per", "once", "quantity", "price", "unit", "tiers", "tier", "package",
    "included", "minimum", "maximum", "meter", "late_for", "bills_trial", "alert", "tax",
))  # fmt: skip
_TIER_TERMS: Final = frozenset(("up_to", "unit", "flat"))
_PACKAGE_TERMS: Final = frozenset(("size", "price", "round"))
_QUANTITY_TERMS: Final = frozenset(("min", "max", "default"))


def item_terms(item: Item) -> dict[str, Any]:
    """Return an item's terms: amounts in minor units, exact prices of units as text in major ones.

    A metered one has the whole definition of its meter, and `late_for` in days.
    """
    return _present(
        {
            "code": item.code,
            "name": item.name,
            "per": item.per,
            "once": item.once or None,
            "quantity": _or_none(item.quantity, _quantity_to),
            "price": _amounts_to(item.price),
            "unit": _units_to(item.unit),
            "tiers": item.tiering,
            "tier": [_tier_to(tier) for tier in item.tiers] or None,
            "package": _or_none(item.package, _package_to),
            "included": format_number(item.included) if item.included else None,
            "minimum": _amounts_to(item.minimum),
            "maximum": _amounts_to(item.maximum),
            "meter": _or_none(item.meter, meter_terms),
            "late_for": None if item.late_for is None else item.late_for.days,
            "bills_trial": item.bills_trial or None,
            "alert": item.alert,
            "tax": _or_none(item.tax, TaxTerms.to_terms),
        }
    )


def item_from_terms(terms: Mapping[str, Any]) -> Item:
    """Rebuild an item from `item_terms`. Raises: ValueError, for terms that aren't known."""
    _refuse_unknown(terms, _ITEM_TERMS)
    return Item(
        code=terms["code"],
        name=terms.get("name"),
        per=terms.get("per"),
        once=terms.get("once", False),
        quantity=_or_none(terms.get("quantity"), _quantity_from),
        price=terms.get("price", {}),
        unit=_units_from(terms.get("unit", {})),
        tiering=terms.get("tiers"),
        tiers=tuple(_tier_from(tier) for tier in terms.get("tier", ())),
        package=_or_none(terms.get("package"), _package_from),
        included=parse_number(terms.get("included", "0")),
        minimum=terms.get("minimum", {}),
        maximum=terms.get("maximum", {}),
        meter=_or_none(terms.get("meter"), meter_from_terms),
        late_for=_or_none(terms.get("late_for"), lambda days: timedelta(days=days)),
        bills_trial=terms.get("bills_trial", False),
        alert=terms.get("alert"),
        tax=_or_none(terms.get("tax"), TaxTerms.from_terms),
    )


def _quantity_to(quantity: QuantityRange) -> dict[str, int]:
    return {"min": quantity.minimum, "max": quantity.maximum, "default": quantity.default}


def _quantity_from(terms: Mapping[str, Any]) -> QuantityRange:
    _refuse_unknown(terms, _QUANTITY_TERMS)
    return QuantityRange(terms["min"], terms["max"], terms["default"])


def _tier_to(tier: Tier) -> dict[str, Any]:
    terms = {"up_to": tier.up_to, "unit": _units_to(tier.unit), "flat": _amounts_to(tier.flat)}
    return _present(terms)


def _tier_from(terms: Mapping[str, Any]) -> Tier:
    _refuse_unknown(terms, _TIER_TERMS)
    return Tier(terms.get("up_to"), _units_from(terms["unit"]), terms.get("flat", {}))


def _package_to(package: Package) -> dict[str, Any]:
    return {"size": package.size, "price": _amounts_to(package.price), "round": package.round}


def _package_from(terms: Mapping[str, Any]) -> Package:
    _refuse_unknown(terms, _PACKAGE_TERMS)
    return Package(terms["size"], terms["price"], terms["round"])


def _amounts_to(amounts: Mapping[str, int]) -> dict[str, int] | None:
    return dict(sorted(amounts.items())) or None


def _units_to(units: Mapping[str, Fraction]) -> dict[str, str] | None:
    exact = {code: format_unit_price(price, code) for code, price in sorted(units.items())}
    return exact or None


def _units_from(units: Mapping[str, str]) -> dict[str, Fraction]:
    return {code: parse_unit_price(text, code) for code, text in units.items()}


def _present(terms: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in terms.items() if value is not None}


def _or_none(value: Any, to: Callable[[Any], _T]) -> _T | None:
    return None if value is None else to(value)


def _refuse_unknown(terms: Mapping[str, Any], known: frozenset[str]) -> None:
    unknown = sorted(terms.keys() - known)
    if unknown:
        raise ValueError(f"unknown terms of an item: {unknown}")
