"""Amounts between our minor units and Braintree's decimal text, exactly, in both directions."""

import re
from typing import Final

from billing.plans.currencies import digits, format_amount, parse_amount
from billing.rules.money import Money

_RATE: Final = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,18}))?")
_PLACES: Final = 18


class UnwritableAmount(ValueError):
    """The amount exists in one of the two notations only."""


def positive_to_text(money: Money) -> str:
    """Return the text for an amount that is to move. Raises: UnwritableAmount."""
    if money.amount <= 0:
        raise UnwritableAmount(f"{money} can't be moved")
    return format_amount(money.amount, money.currency)


def from_text(written: str, currency: str) -> Money:
    """Return the money of an amount in an answer.

    Zeros behind the currency's own decimals count for nothing; any other digit there is refused.
    Raises: UnwritableAmount, and CurrencyError for a currency we don't know.
    """
    places = digits(currency)
    whole, _, fraction = written.partition(".")
    if fraction.strip("0") and len(fraction.rstrip("0")) > places:
        raise UnwritableAmount(f"{written[:40]} is no whole amount of {currency}")
    kept = fraction[:places]
    try:
        return Money(parse_amount(f"{whole}.{kept}" if kept else whole, currency), currency)
    except ValueError as error:
        raise UnwritableAmount(f"{written[:40]!r} is no amount of {currency}") from error


def converted(money: Money, currency: str, rate: str) -> Money:
    """Return an amount in another currency at a rate per major unit; half goes away from zero.

    Raises: UnwritableAmount for a text that is no rate.
    """
    found = _RATE.fullmatch(rate)
    if found is None:
        raise UnwritableAmount(f"{rate[:40]!r} is no exchange rate")
    exact = int(found[1] + (found[2] or "").ljust(_PLACES, "0"))
    numerator = abs(money.amount) * exact * 10 ** digits(currency)
    denominator = 10 ** (_PLACES + digits(money.currency))
    made = (2 * numerator + denominator) // (2 * denominator)
    return Money(-made if money.amount < 0 else made, currency)
