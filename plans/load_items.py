"""Items of a catalog file: what a plan version or an add-on sells, each with its price.

Every key is looked at, whatever is wrong with others; an item with one problem is None.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from fractions import Fraction
from typing import Final, cast, get_args

from billing.plans.currencies import known_currencies
from billing.plans.errors import BadValue
from billing.plans.items import MOST_UNITS, Item, Package, PackageRounding, QuantityRange
from billing.plans.load_meters import KnownMeters
from billing.plans.load_prices import read_amounts, read_unit_prices
from billing.plans.load_taxes import read_tax_terms
from billing.plans.load_tiers import read_tiers
from billing.plans.meters import LATE_FOR, Aggregate, Meter
from billing.plans.numbers import parse_number
from billing.plans.table import Table
from billing.plans.taxes import TaxTerms
from billing.plans.terms import Cadence

PRICE_KEYS: Final = (
    "per", "once", "quantity", "price", "unit", "tiers", "tier", "package", "included", "minimum",
    "maximum", "meter", "late_for", "bills_trial", "alert",
)  # fmt: skip
"""What says how an item is priced."""

_ITEM_KEYS: Final = ("code", "name", *PRICE_KEYS, "tax")
_OF_UNITS: Final = (
    "quantity", "unit", "tiers", "tier", "package", "included", "minimum", "maximum",
)  # fmt: skip
_OF_USAGE: Final = ("late_for", "bills_trial", "alert")
_OF_WHAT_IS_HELD: Final = ("per", "quantity", "once")
_PRICES: Final = ("price", "unit", "tier", "package")
_QUANTITY_KEYS: Final = ("min", "max", "default")
_PACKAGE_KEYS: Final = ("size", "price", "round")
_CODE: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_MOST_ITEMS: Final = 100
_LATEST: Final = Cadence(1, "year")


def read_code(table: Table, example: str) -> str | None:
    """Read the code of a plan, an item, an add-on or a coupon."""
    code = table.text("code")
    if code is None or (_CODE.fullmatch(code) and len(code) <= 64):
        return code
    remedy = f"write at most 64 small letters, digits and single dashes, like {example!r}"
    table.problem("code", f"{code!r} is no code", remedy)
    return None


def read_items(version: Table, meters: KnownMeters) -> tuple[Item, ...] | None:
    """Read the items of a plan version; all of them are sold in the same currencies."""
    sections = version.tables("item", "[[plan.version.item]]")
    if len(sections) > _MOST_ITEMS:
        version.problem("item", f"has {len(sections)} items", f"write at most {_MOST_ITEMS}")
        return None
    read = [_read_own_item(section, meters) for section in sections]
    _refuse_twice(sections, read)
    _refuse_meters_twice(sections, read)
    check_currencies(sections)
    items = tuple(item for item in read if item is not None)
    return items if items and len(items) == len(read) else None


def _read_own_item(table: Table, meters: KnownMeters) -> Item | None:
    table.refuse_unknown(_ITEM_KEYS)
    code, name = read_code(table, "seats"), table.text("name", required=False)
    return read_item(table, code, name, meters, read_tax_terms(table, ("class",)))


def _refuse_twice(sections: Sequence[Table], items: Sequence[Item | None]) -> None:
    seen: dict[str, Table] = {}
    for section, item in zip(sections, items, strict=True):
        if item is None:
            continue
        if item.code in seen:
            what = f"{item.code!r} is the code of the item at {seen[item.code].place('code')}, too"
            section.problem("code", what, "give each item of a version a code of its own")
        seen.setdefault(item.code, section)


def _refuse_meters_twice(sections: Sequence[Table], items: Sequence[Item | None]) -> None:
    """Note an item that bills the usage which another one of its version bills."""
    seen: dict[str, Table] = {}
    for section, item in zip(sections, items, strict=True):
        if item is None or item.meter is None:
            continue
        if item.meter.code in seen:
            place = seen[item.meter.code].place("meter")
            what = f"{item.meter.code!r} is the meter of the item at {place}, too"
            section.problem("meter", what, "leave one out, or use a meter of another code")
        seen.setdefault(item.meter.code, section)


def read_item(
    table: Table,
    code: str | None,
    name: str | None,
    meters: KnownMeters,
    tax: TaxTerms | None = None,
) -> Item | None:
    """Read what a table says of an item's price; None where that or the code is bad."""
    meter = meters.named(table)
    tiering, tiers = read_tiers(table)
    minimum, maximum = _read_bounds(table)
    included = _read_included(table) or Fraction(0)
    alert = _read_alert(table, meter)
    item = Item(
        code=code or "",
        name=name,
        per=table.text("per", required=False),
        once=table.flag("once"),
        quantity=_read_quantity(table),
        price=_read_price(table) or {},
        unit=_read_unit(table) or {},
        tiering=tiering,
        tiers=tiers,
        package=_read_package(table),
        included=included,
        minimum=minimum,
        maximum=maximum,
        meter=meter,
        late_for=None if meter is None else _read_late_for(table) or LATE_FOR,
        bills_trial=table.flag("bills_trial"),
        alert=alert if included else None,
        tax=tax,
    )
    fits = _check_fitting(table) and table.has("meter") == (meter is not None)
    return item if fits and code is not None and item.currencies else None


def _read_price(table: Table) -> dict[str, int] | None:
    return None if _has_units(table) else read_amounts(table, "price", needed=False)


def _read_unit(table: Table) -> dict[str, Fraction] | None:
    """Read the price of a unit; where units are held or used, `price` is one, too."""
    key = "price" if _has_units(table) and not table.has("unit") else "unit"
    return read_unit_prices(table, key)


def _has_units(table: Table) -> bool:
    return table.has("per") or table.has("meter")


def _check_fitting(table: Table) -> bool:
    """Note which keys can't be together; return whether all can."""
    given = [key for key in _PRICES if table.has(key)]
    if not given:
        table.problem("price", "is missing", 'add a line: price = { USD = "9.99" }')
    for key in given[1:]:
        what = f"says what the item costs, and so does {given[0]}"
        table.problem(key, what, "leave one of both out")
    misplaced = _misplaced(table)
    for key, what, remedy in misplaced:
        table.problem(key, what, remedy)
    return len(given) == 1 and not misplaced


def _misplaced(table: Table) -> list[tuple[str, str, str]]:
    """Return the keys that say nothing of such an item, each with what is wrong and a remedy."""
    found = []
    if table.has("meter"):
        what, remedy = "is about what is held, and meter says that usage is counted", "leave it out"
        found += [(key, what, remedy) for key in _OF_WHAT_IS_HELD if table.has(key)]
        return found
    what, remedy = "is about usage, and the item counts none", 'name a meter: meter = "searches"'
    found += [(key, what, remedy) for key in _OF_USAGE if table.has(key)]
    if not table.has("per"):
        what = "is about units, and the item has none"
        remedy = 'say what a unit is called, like per = "seat"'
        found += [(key, what, remedy) for key in _OF_UNITS if table.has(key)]
    elif table.has("once"):
        found.append(("once", "has no units, and per says that some are held", "leave one out"))
    return found


def _read_late_for(table: Table) -> timedelta | None:
    """Read how late usage is accepted: whole days, whatever the zone."""
    late, days = table.cadence("late_for", _LATEST), {"day": 1, "week": 7}
    if late is None:
        return None
    if late.unit in days:
        return timedelta(days=late.count * days[late.unit])
    table.problem("late_for", f"{late} have no fixed length", 'write days, like "35 days"')
    return None


def _read_alert(table: Table, meter: Meter | None) -> int | None:
    """Read at which percentage of the included units usage is noted."""
    percent = table.integer("alert", 1, 100)
    if percent is None or meter is None:
        return None
    if meter.aggregate is Aggregate.LEVEL:
        what, remedy = "is of a level, whose mean is known when its period is over", "leave it out"
        table.problem("alert", what, remedy)
        return None
    if not table.has("included"):
        what = "is a part of the included units, and there are none"
        table.problem("alert", what, "add how many units cost nothing: included = 10000")
        return None
    return percent


def _read_quantity(table: Table) -> QuantityRange | None:
    """Read how many units may be held; without a table, any number."""
    if not table.has("quantity"):
        return QuantityRange() if table.has("per") else None
    inner = table.table("quantity", "{ min = 1, max = 500, default = 1 }")
    if inner is None:
        return None
    inner.refuse_unknown(_QUANTITY_KEYS)
    least = inner.integer("min", 0, MOST_UNITS)
    most = inner.integer("max", 1, MOST_UNITS)
    default = inner.integer("default", 0, MOST_UNITS)
    return _range(inner, 1 if least is None else least, most or MOST_UNITS, default)


def _range(table: Table, least: int, most: int, default: int | None) -> QuantityRange | None:
    if least > most:
        table.problem("max", f"{most} is less than min, {least}", f"write {least} at least")
        return None
    usual = min(max(1, least), most) if default is None else default
    if not least <= usual <= most:
        remedy = f"write a number from {least} to {most}"
        table.problem("default", f"{usual} is out of the range of quantities", remedy)
        return None
    return QuantityRange(least, most, usual)


def _read_package(table: Table) -> Package | None:
    if not table.has("package"):
        return None
    inner = table.table("package", '{ size = 100, price = { USD = "5.00" } }')
    if inner is None:
        return None
    inner.refuse_unknown(_PACKAGE_KEYS)
    size = inner.integer("size", 1, MOST_UNITS)
    if not inner.has("size"):
        inner.problem("size", "is missing", "add how many units a package has: size = 100")
    price = read_amounts(inner, "price", needed=True)
    rounding = cast("PackageRounding | None", inner.choice("round", get_args(PackageRounding)))
    return None if size is None or price is None else Package(size, price, rounding or "up")


def _read_included(table: Table) -> Fraction | None:
    """Read how many units cost nothing: whole ones, where units are held."""
    number = _read_number(table, "included")
    if number is None:
        return None
    if number <= 0 or (number.denominator != 1 and not table.has("meter")):
        what = f"{str(table.data['included'])!r} is no number of units"
        table.problem("included", what, "write a whole number from 1 up, or leave it out")
        return None
    return number


def _read_number(table: Table, key: str) -> Fraction | None:
    value = table.data.get(key)
    text = str(value) if type(value) is int else table.text(key, required=False)
    if text is None:
        return None
    try:
        return parse_number(text)
    except BadValue as error:
        table.problem(key, error.what, error.remedy)
        return None


def _read_bounds(table: Table) -> tuple[dict[str, int], dict[str, int]]:
    least = read_amounts(table, "minimum", free=False) or {}
    most = read_amounts(table, "maximum", free=False) or {}
    for currency in sorted(least.keys() & most.keys()):
        if least[currency] > most[currency]:
            what = f"is less than minimum in {currency}"
            table.problem("maximum", what, "write at least as much, or leave one of both out")
    return least, most


def check_currencies(items: Sequence[Table]) -> None:
    """Note every table of prices that lacks a currency which another one of them has."""
    tables = [place for item in items for place in _price_tables(item)]
    named = {currency for table, key in tables for currency in table.data[key]}
    every = sorted(named & known_currencies())
    for table, key in tables:
        missing = [currency for currency in every if currency not in table.data[key]]
        if missing and table.data[key]:
            what = f"has no {' and no '.join(missing)}, and another price beside it has"
            table.problem(key, what, f"add {' and '.join(missing)} here, or leave it out there")


def _price_tables(item: Table) -> Iterator[tuple[Table, str]]:
    """Yield each table of prices in an item, as the table around it and its key."""
    inner = [item]
    if isinstance(item.data.get("package"), dict):
        inner += [item.within("package")]
    tiers = item.data.get("tier")
    if isinstance(tiers, list):
        inner += [item.within("tier", i) for i, tier in enumerate(tiers) if isinstance(tier, dict)]
    for table in inner:
        for key in ("price", "unit", "flat", "minimum", "maximum"):
            if isinstance(table.data.get(key), dict):
                yield table, key
