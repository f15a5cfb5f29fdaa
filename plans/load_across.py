"""Checks across all sections of a catalog: what names what, and which codes are taken.

A name counts as known where a section has it, whatever else is wrong with that section.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from billing.plans.addons import Addon
from billing.plans.coupons import Coupon
from billing.plans.items import BASE, ItemKind
from billing.plans.load_meters import KnownMeters
from billing.plans.load_taxes import check_dates
from billing.plans.meters import Meter
from billing.plans.table import Table
from billing.plans.taxes import TaxRate, without_rate
from billing.plans.terms import Cadence, Plan
from billing.plans.usual_names import nearest_of


@dataclass(slots=True)
class Sections:
    """What the files have, each with the table that it was read from, in order."""

    plans: list[tuple[Plan, Table]] = field(default_factory=list)
    addons: list[tuple[Addon, Table]] = field(default_factory=list)
    coupons: list[tuple[Coupon, Table]] = field(default_factory=list)
    meters: KnownMeters = field(default_factory=KnownMeters)
    tax_rates: list[tuple[TaxRate, Table]] = field(default_factory=list)
    roots: list[Table] = field(default_factory=list)
    whole: bool = True
    """All files could be read as tables."""


def check_across(sections: Sections) -> None:
    """Note codes that are taken twice, and names of what no section has."""
    _refuse_twice("plan", sections.plans)
    _refuse_twice("add-on", sections.addons)
    _refuse_twice("coupon", sections.coupons)
    _refuse_twice("meter", sections.meters.read)
    check_dates(sections.tax_rates)
    if not sections.whole:
        return
    plans = {plan.code: plan for plan, _ in sections.plans}
    plan_codes = {code for root in sections.roots for code in _codes(root.data.get("plan"))}
    item_codes = {code for root in sections.roots for code in _item_codes(root.data)}
    for addon, table in sections.addons:
        _refuse_unknown(table, "fits", addon.fits, plan_codes, "plan")
        fitted = [plans[code] for code in addon.fits if code in plans]
        _check_codes(addon, fitted, table)
        _check_meters(addon, fitted, sections.addons, table)
        _check_periods(addon, fitted, table)
    for coupon, table in sections.coupons:
        _refuse_unknown(table, "on", coupon.on or (), item_codes, "item of a plan or add-on")
    _check_classes(sections)


def _check_classes(sections: Sections) -> None:
    """Note classes of taxes without a rate in a country that has rates of others."""
    rates = [rate for rate, _ in sections.tax_rates]
    countries = {rate.country for rate in rates}
    for root in sections.roots:
        for path in _tax_paths(root.data):
            table = root.within(*path)
            tax_class = table.data.get("class")
            if isinstance(tax_class, str):
                for country, name in without_rate(rates, countries, [tax_class]):
                    _no_rate(table, country, name)


def _tax_paths(data: Mapping[str, Any]) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of each table that says how something is taxed."""
    for key in ("plan", "addon"):
        for i, section in _numbered(data.get(key)):
            for j, version in _numbered(section.get("version")):
                places: list[tuple[tuple[str | int, ...], Mapping[str, Any]]]
                places = [((key, i, "version", j), version)]
                places += [
                    ((key, i, "version", j, "item", k), item)
                    for k, item in _numbered(version.get("item"))
                ]
                yield from (
                    (*path, "tax") for path, table in places if isinstance(table.get("tax"), dict)
                )


def _no_rate(table: Table, country: str, tax_class: str) -> None:
    what = f"{tax_class!r} has no rate for {country}, where others have one"
    remedy = f'add [[tax_rate]] with country = "{country}" and class = "{tax_class}"'
    table.problem("class", what, f'{remedy}; where nothing is levied, rate = "0"')


def _refuse_twice(noun: str, read: Sequence[tuple[Plan | Addon | Coupon | Meter, Table]]) -> None:
    seen: dict[str, Table] = {}
    for each, table in read:
        if each.code in seen:
            first = seen[each.code].place("code")
            what = f"the code {each.code!r} is taken by the {noun} at {first}"
            table.problem("code", what, f"give this {noun} a code of its own")
        seen.setdefault(each.code, table)


def _refuse_unknown(
    table: Table, key: str, names: Sequence[str], known: set[str], noun: str
) -> None:
    for name in names:
        if name not in known:
            near = nearest_of(name, sorted(known))
            remedy = f"did you mean {near!r}?" if near else f"known are: {', '.join(sorted(known))}"
            table.problem(key, f"{name!r} is no {noun}", remedy)


def _check_codes(addon: Addon, plans: Sequence[Plan], table: Table) -> None:
    for plan in plans:
        if any(item.code == addon.code for version in plan.versions for item in version.sold):
            what = f"{addon.code!r} is the code of an item of the plan {plan.code!r}, which it fits"
            table.problem("code", what, "give the add-on a code of its own")


def _check_meters(
    addon: Addon, plans: Sequence[Plan], addons: Sequence[tuple[Addon, Table]], table: Table
) -> None:
    """Usage is billed by one item: no other one that a subscription can have beside it bills it."""
    own = _meters(addon)
    beside: list[tuple[Plan | Addon, str]]
    beside = [(plan, f"the plan {plan.code!r}, which it fits") for plan in plans]
    beside += [
        (other, f"the add-on {other.code!r}, which fits the same plans")
        for other, _ in addons
        if other.code < addon.code and set(other.fits) & set(addon.fits)
    ]
    for other, named in beside:
        for code in sorted(own & _meters(other)):
            what = f"bills the meter {code!r}, and so does {named}"
            table.problem("fits", what, "use a meter of another code")


def _meters(sold: Plan | Addon) -> set[str]:
    items = [item for version in sold.versions for item in version.sold]
    return {item.meter.code for item in items if item.meter is not None}


def _check_periods(addon: Addon, plans: Sequence[Plan], table: Table) -> None:
    """The price of an add-on is for a period of its subscription: they have to be as long."""
    if all(version.item.kind is ItemKind.ONCE for version in addon.versions):
        return
    lengths: dict[tuple[str, int], Cadence] = {}
    for cadence in (version.every for plan in plans for version in plan.versions):
        lengths.setdefault(_length(cadence), cadence)
    if len(lengths) > 1:
        spoken = " and ".join(sorted(map(str, lengths.values())))
        what = f"has plans with periods of {spoken}, and the price is for one period"
        table.problem("fits", what, "make an add-on for each length of a period")


def _length(cadence: Cadence) -> tuple[str, int]:
    if cadence.unit in ("week", "day"):
        return "day", cadence.count * (7 if cadence.unit == "week" else 1)
    return "month", cadence.count * (12 if cadence.unit == "year" else 1)


def _item_codes(data: Mapping[str, Any]) -> Iterator[str]:
    yield from _codes(data.get("addon"))
    for plan in _tables(data.get("plan")):
        for version in _tables(plan.get("version")):
            if "price" in version:
                yield BASE
            yield from _codes(version.get("item"))


def _codes(sections: Any) -> Iterator[str]:
    for section in _tables(sections):
        if isinstance(section.get("code"), str):
            yield section["code"]


def _numbered(sections: Any) -> Iterator[tuple[int, Mapping[str, Any]]]:
    if isinstance(sections, list):
        yield from ((n, section) for n, section in enumerate(sections) if isinstance(section, dict))


def _tables(sections: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(sections, list):
        yield from (section for section in sections if isinstance(section, dict))
