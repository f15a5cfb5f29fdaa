"""Prices of a catalog file: tables of texts by currency, read digit by digit."""

from collections.abc import Callable
from fractions import Fraction
from typing import Final, TypeVar

from billing.plans.currencies import (
    charge_limit,
    charge_step,
    check_sold,
    format_amount,
    parse_amount,
    parse_unit_price,
)
from billing.plans.errors import BadValue
from billing.plans.table import Table, type_name

_T = TypeVar("_T")
_EXAMPLE: Final = '{ USD = "9.99" }'


def read_amounts(
    table: Table, key: str, *, needed: bool = False, free: bool = True
) -> dict[str, int] | None:
    """Read amounts that are charged as they are, in minor units; `free`: 0 is one, too."""
    if not needed and not table.has(key):
        return None
    return _read_each(table, key, lambda text, currency: _amount(text, currency, free=free))


def read_unit_prices(table: Table, key: str) -> dict[str, Fraction] | None:
    """Read prices of one unit, exact, in minor units."""
    return _read_each(table, key, _unit_price) if table.has(key) else None


def _read_each(table: Table, key: str, read: Callable[[str, str], _T]) -> dict[str, _T] | None:
    inner = table.table(key, _EXAMPLE)
    if inner is None:
        return None
    found = {currency: _read_one(inner, currency, read) for currency in inner.data}
    good = {currency: value for currency, value in found.items() if value is not None}
    return good if len(good) == len(found) else None


def _read_one(table: Table, currency: str, read: Callable[[str, str], _T]) -> _T | None:
    value = table.data[currency]
    if type(value) in (int, float):
        what = f"{value} is {type_name(value)}, and a price is read digit by digit"
        table.problem(currency, what, f'write it in quotes: {currency} = "{value}"')
        return None
    text = table.text(currency)
    if text is None:
        return None
    try:
        check_sold(currency)
        return read(text, currency)
    except BadValue as error:
        table.problem(currency, error.what, error.remedy)
        return None


def _amount(text: str, currency: str, *, free: bool) -> int:
    amount = parse_amount(text, currency)
    if amount < 0 or (amount == 0 and not free):
        below, remedy = "below zero", 'write "0" for what costs nothing'
        if not free:
            below, remedy = "not above zero", "leave it out, or write what it is"
        raise BadValue(f"{text!r} is {below}", remedy)
    _refuse_above_limit(text, Fraction(amount), currency)
    if amount % charge_step(currency):
        near = format_amount(amount - amount % charge_step(currency), currency)
        what = f"{text!r} can't be charged: the third decimal of {currency} must be 0"
        raise BadValue(what, f"write it like {near!r}")
    return amount


def _unit_price(text: str, currency: str) -> Fraction:
    price = parse_unit_price(text, currency)
    _refuse_above_limit(text, price, currency)
    return price


def _refuse_above_limit(text: str, amount: Fraction, currency: str) -> None:
    if amount > charge_limit(currency):
        limit = format_amount(charge_limit(currency), currency)
        what = f"{text!r} is more than the payment provider takes"
        raise BadValue(what, f"write at most {limit!r}")
