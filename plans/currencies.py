"""Currencies: how many digits each has, and the exact way between text and minor units.

An amount is an integer number of minor units (cents, yen, fils) from the moment its text
is read; the price of one unit of many is an exact fraction of them. No float and no decimal type
stands in between.
"""

import re
from datetime import date
from fractions import Fraction
from functools import cache
from typing import Final

from babel.core import get_global
from babel.numbers import get_currency_precision

from billing.plans.errors import BadValue

BIGINT_MAX: Final = 2**63 - 1

# Babel's data rounds these to how cash is used; ISO 4217 keeps the digits, and so do payment
# providers. The ariary stays at none: nobody writes its fifths.
_ISO_DIGITS: Final = {
    "AFN": 2, "ALL": 2, "IQD": 3, "IRR": 2, "KPW": 2, "LAK": 2,
    "LBP": 2, "MMK": 2, "RSD": 2, "SOS": 2, "SYP": 2, "YER": 2,
    "MRO": 2, "SLL": 2, "STD": 2, "XAD": 2,
}  # fmt: skip
_NO_MONEY: Final = frozenset(("XTS", "XXX"))  # ISO 4217: for tests, and for no currency
_OLDEST_IN_BOOKS: Final = date(2015, 1, 1)

_AMOUNT: Final = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?", re.ASCII)
MOST_DECIMALS: Final = 12
"""How many digits after the point the exact price of a unit may have."""


class CurrencyError(BadValue):
    """The currency is not the upper-case ISO 4217 code of money in use."""


class AmountError(BadValue):
    """The text is not an exact amount of the currency."""


@cache
def known_currencies() -> frozenset[str]:
    """Return the codes that are legal tender somewhere today: what may be sold and charged.

    The locale data says which they are.
    """
    territories = get_global("territory_currencies").values()
    return frozenset(
        code for rows in territories for code, _, end, tender in rows if tender and end is None
    )


@cache
def book_currencies() -> frozenset[str]:
    """Return the codes that may stand in books: ISO 4217 of today and of the last years.

    These are more than may be sold. A provider goes on to take a currency that was withdrawn, and
    moves funds codes that are no tender anywhere.
    """
    territories = get_global("territory_currencies").values()
    codes = {
        code
        for rows in territories
        for code, _, end, _ in rows
        if end is None or date(*end) >= _OLDEST_IN_BOOKS
    }
    return (known_currencies() | codes | _ISO_DIGITS.keys()) - _NO_MONEY


def check_sold(currency: str) -> None:
    """Check that something may be sold in a currency. Raises: CurrencyError."""
    if currency not in known_currencies():
        raise _unknown(currency)


@cache
def digits(currency: str) -> int:
    """Return the number of digits after the decimal point: 2 for USD, 0 for JPY, 3 for KWD.

    Every currency that may stand in books has them. Raises: CurrencyError.
    """
    if currency not in book_currencies():
        raise _unknown(currency)
    return _ISO_DIGITS.get(currency, get_currency_precision(currency))


def parse_amount(text: str, currency: str) -> int:
    """Read "9.99" as 999 minor units; every digit counts and nothing is rounded.

    Raises: AmountError, CurrencyError.
    """
    places = digits(currency)
    example = f"write it like {_example(places)!r}"
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise AmountError(f"{text!r} is not an amount", example)
    sign, units, fraction = match[1], match[2], match[3] or ""
    if len(fraction) > places:
        has, may = _count(len(fraction), "decimal"), _count(places, "decimal")
        raise AmountError(f"{text!r} has {has}, but {currency} has {may}", example)
    # The length is looked at first: int() of a text of any length would take its time.
    amount = int(units + fraction.ljust(places, "0")) if len(units) < 20 else BIGINT_MAX + 1
    if amount > BIGINT_MAX:
        raise AmountError(f"{text[:30]!r} is more than the ledger can hold", "write a smaller one")
    return -amount if sign else amount


def format_amount(amount: int, currency: str) -> str:
    """Write minor units as text that `parse_amount` reads back: 999 USD is "9.99"."""
    places = digits(currency)
    sign = "-" if amount < 0 else ""
    text = str(abs(amount)).rjust(places + 1, "0")
    if places == 0:
        return sign + text
    return f"{sign}{text[:-places]}.{text[-places:]}"


def parse_unit_price(text: str, currency: str) -> Fraction:
    """Read "0.0008" of USD as 2/25 minor units, exactly; at most 12 decimals, not below zero.

    Raises: AmountError, CurrencyError.
    """
    places = digits(currency)
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise AmountError(f"{text!r} is not an amount", f"write it like {_example(places)!r}")
    sign, units, fraction = match[1], match[2], match[3] or ""
    if sign:
        raise AmountError(f"{text!r} is below zero", 'write "0" for what costs nothing')
    if len(fraction) > MOST_DECIMALS:
        what = f"{text[:30]!r} has {_count(len(fraction), 'decimal')}"
        raise AmountError(what, f"write at most {MOST_DECIMALS}")
    if len(units) >= 20:
        raise AmountError(f"{text[:30]!r} is more than the ledger can hold", "write a smaller one")
    return Fraction(int(units + fraction) * 10**places, 10 ** len(fraction))


def format_unit_price(price: Fraction, currency: str) -> str:
    """Write the exact price of a unit as text that `parse_unit_price` reads back.

    No digit is lost, and at least those of the currency are written: 2/25 USD is "0.0008", 1200 is
    "12.00". Raises: ValueError, for a fraction that no 12 decimals can write.
    """
    places = digits(currency)
    scaled = price * 10**MOST_DECIMALS / 10**places
    if scaled.denominator != 1 or scaled < 0:
        raise ValueError(f"{price} has no {MOST_DECIMALS} decimals of {currency}")
    text = str(scaled.numerator).rjust(MOST_DECIMALS + 1, "0")
    units, fraction = text[:-MOST_DECIMALS], text[-MOST_DECIMALS:].rstrip("0").ljust(places, "0")
    return f"{units}.{fraction}" if fraction else units


def charge_step(currency: str) -> int:
    """Return the smallest step of minor units that can be charged.

    Card networks have no third decimal: amounts of BHD, JOD, KWD, OMR and TND end in 0.
    """
    return 10 if digits(currency) == 3 else 1


def charge_limit(currency: str) -> int:
    """Return the largest amount in minor units that can be charged: eight digits.

    Six in ISK and UGX: they have no minor unit, and payment providers count two decimals all
    the same. A test holds each kind of provider to taking these amounts.
    """
    return 999_999 if currency in ("ISK", "UGX") else 99_999_999


def _unknown(currency: str) -> CurrencyError:
    if currency.upper() in known_currencies():
        return CurrencyError(f"{currency!r} is not upper case", f"write {currency.upper()!r}")
    what = f"{currency!r} is not the ISO 4217 code of a currency in use"
    return CurrencyError(what, "write a code like 'EUR'")


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def _example(places: int) -> str:
    return "1200" if places == 0 else "9." + "990"[:places]
