"""Settling in another currency than the customer paid in: exact rates, no floats.

Rates are set per major unit, as people quote them ("jpy:usd": "0.0067"). A balance transaction
shows Stripe's `exchange_rate`, which is the ratio of the API's amounts: 0.67 for that rate,
because an amount of 100 jpy (100 yen) becomes an amount of 67 usd (67 cents).
"""

import re
from collections.abc import Mapping
from fractions import Fraction

from billing.sandbox.currencies import SUPPORTED, digits

_MINOR = (1, 10, 100, 1_000)
_RATE = re.compile(r"\d{1,12}(\.\d{1,12})?")


def settlement_of(settles: Mapping[str, str], code: str) -> str:
    """Return the currency that charges in `code` settle in."""
    return settles.get(code, code)


def rate_between(rates: Mapping[str, str], source: str, target: str) -> Fraction:
    """Return how many of the target's minor units one of the source's is worth."""
    major = Fraction(rates[f"{source}:{target}"])
    return major * _MINOR[digits(target)] / _MINOR[digits(source)]


def converted(amount: int, rate: Fraction) -> int:
    """Return the amount at a rate, rounded half away from zero."""
    size = abs(amount) * rate
    whole = (2 * size.numerator + size.denominator) // (2 * size.denominator)
    return -whole if amount < 0 else whole


def check_settlement(settles: Mapping[str, str]) -> None:
    """Refuse a currency the sandbox doesn't know. Raises: ValueError."""
    for code in (*settles, *settles.values()):
        if code not in SUPPORTED:
            raise ValueError(f"settlement_currency: unknown currency {code!r}, in lower case")


def check_rates(rates: Mapping[str, str]) -> None:
    """Refuse a rate that isn't `"jpy:usd": "0.0067"`. Raises: ValueError."""
    for pair, rate in rates.items():
        codes = pair.split(":")
        if len(codes) != 2 or not SUPPORTED.issuperset(codes):
            raise ValueError(f"exchange_rates: {pair!r} is no pair like jpy:usd")
        if not isinstance(rate, str) or not _RATE.fullmatch(rate) or not Fraction(rate):
            raise ValueError(f'exchange_rates: the rate of {pair} is text like "0.0067"')
