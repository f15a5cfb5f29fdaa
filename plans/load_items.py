"""Items of a catalog file: what a plan version or an add-on sells, each with its price.

Every key is looked at, whatever is wrong with others; an item with one problem is None.
"""

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Final, cast, get_args

from billing.plans.currencies import known_currencies
from billing.plans.errors import BadValue
from billing.plans.items import MOST_UNITS, Item, Package, PackageRounding, QuantityRange
from billing.plans.load_prices import read_amounts, read_unit_prices
from billing.plans.load_tiers import read_tiers
from billing.plans.numbers import parse_number
from billing.plans.table import Table

LATER: Final = ("meter", "late_for", "tax", "tax_rate")
"""Keys of what is yet to come: refused, and nothing of them is read."""
PRICE_KEYS: Final = (
    "per", "once", "quantity", "price", "unit", "tiers", "tier", "package", "included", "minimum",
    "maximum",
)  # fmt: skip
"""What says how an item is priced."""

_ITEM_KEYS: Final = ("code", "name", *PRICE_KEYS)
_OF_UNITS: Final = (
    "quantity", "unit", "tiers", "tier", "package", "included", "minimum", "maximum",
)  # fmt: skip
_PRICES: Final = ("price", "unit", "tier", "package")
_QUANTITY_KEYS: Final = ("min", "max", "default")
_PACKAGE_KEYS: Final = ("size", "price", "round")
_CODE: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_MOST_ITEMS: Final = 100


def read_code(table: Table, example: str) -> str | None:
    """Read the code of a plan, an item, an add-on or a coupon."""
    code = table.text("code")
    if code is None or (_CODE.fullmatch(code) and len(code) <= 64):
        return code
    remedy = f"write at most 64 small letters, digits and single dashes, like {example!r}"
    table.problem("code", f"{code!r} is no code", remedy)
    return None


def refuse_later(table: Table) -> None:
    """Note each key of what is yet to come."""
    for key in LATER:
        if table.has(key):
            word, what = ("taxes", "no taxes are") if "tax" in key else ("meters", "no usage is")
            remedy = f"leave it out: {word} come with a later release"
            table.problem(key, f"{what} billed in this release", remedy)


def read_items(version: Table) -> tuple[Item, ...] | None:
    """Read the items of a plan version; all of them are sold in the same currencies."""
    sections = version.tables("item", "[[plan.version.item]]")
    if len(sections) > _MOST_ITEMS:
        version.problem("item", f"has {len(sections)} items", f"write at most {_MOST_ITEMS}")
        return None
    read = [_read_own_item(section) for section in sections]
    _refuse_twice(sections, read)
    check_currencies(sections)
    items = tuple(item for item in read if item is not None)
    return items if items and len(items) == len(read) else None


def _read_own_item(table: Table) -> Item | None:
    refuse_later(table)
    table.refuse_unknown(_ITEM_KEYS, LATER)
    return read_item(table, read_code(table, "seats"), table.text("name", required=False))


def _refuse_twice(sections: Sequence[Table], items: Sequence[Item | None]) -> None:
    seen: dict[str, Table] = {}
    for section, item in zip(sections, items, strict=True):
        if item is None:
            continue
        if item.code in seen:
            what = f"{item.code!r} is the code of the item at {seen[item.code].place('code')}, too"
            section.problem("code", what, "give each item of a version a code of its own")
        seen.setdefault(item.code, section)


def read_item(table: Table, code: str | None, name: str | None) -> Item | None:
    """Read what a table says of an item's price; None where that or the code is bad."""
    if table.has("meter"):
        if table.has("per"):
            what = "counts usage, and per says that units are held"
            table.problem("meter", what, "leave one of both out, or make two items")
        return None
    tiering, tiers = read_tiers(table)
    minimum, maximum = _read_bounds(table)
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
        included=_read_included(table) or Fraction(0),
        minimum=minimum,
        maximum=maximum,
    )
    fits = _check_fitting(table)
    return item if fits and code is not None and item.currencies else None


def _read_price(table: Table) -> dict[str, int] | None:
    return None if table.has("per") else read_amounts(table, "price", needed=False)


def _read_unit(table: Table) -> dict[str, Fraction] | None:
    """Read the price of a unit; where units are held, `price` is one, too."""
    key = "price" if table.has("per") and not table.has("unit") else "unit"
    return read_unit_prices(table, key)


def _check_fitting(table: Table) -> bool:
    """Note which keys can't be together; return whether all can."""
    given = [key for key in _PRICES if table.has(key)]
    if not given:
        table.problem("price", "is missing", 'add a line: price = { USD = "9.99" }')
    for key in given[1:]:
        what = f"says what the item costs, and so does {given[0]}"
        table.problem(key, what, "leave one of both out")
    if not table.has("per"):
        lonely = [key for key in _OF_UNITS if table.has(key)]
        for key in lonely:
            remedy = 'say what a unit is called, like per = "seat"'
            table.problem(key, "is about units, and the item has none", remedy)
        return len(given) == 1 and not lonely
    if table.has("once"):
        table.problem("once", "has no units, and per says that some are held", "leave one out")
    return len(given) == 1 and not table.has("once")


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
    """Read how many units cost nothing: whole ones, because units that are held are whole."""
    value = table.data.get("included")
    text = str(value) if type(value) is int else table.text("included", required=False)
    if text is None:
        return None
    try:
        number = parse_number(text)
    except BadValue as error:
        table.problem("included", error.what, error.remedy)
        return None
    if number.denominator != 1 or number < 1:
        what = f"{text!r} is no number of units"
        table.problem("included", what, "write a whole number from 1 up, or leave it out")
        return None
    return number


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
