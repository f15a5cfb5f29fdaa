"""Amounts between our minor units and Stripe's, exactly, in both directions.

Ours follow ISO 4217. Stripe counts some currencies otherwise: krónur and Ugandan shillings
have no minor unit but are sent times 100, and currencies with three decimals are sent in
thousandths whose last digit must be 0 (https://docs.stripe.com/currencies).
"""

from decimal import Decimal  # noqa: TID251  exchange rates are no money
from typing import Final

from billing.plans.currencies import digits
from billing.rules.money import Money

ZERO_DECIMAL: Final = frozenset({
    "BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA",
    "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF",
})  # fmt: skip
THREE_DECIMAL: Final = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})


class InexpressibleAmount(ValueError):
    """The amount exists in one of the two notations only."""


def to_stripe(money: Money) -> int:
    """Return the integer Stripe expects for an amount. Raises: InexpressibleAmount."""
    shift = stripe_digits(money.currency) - digits(money.currency)
    amount = _shifted(money.amount, shift, f"{money} has more decimals than Stripe takes")
    if money.currency in THREE_DECIMAL and amount % 10:
        raise InexpressibleAmount(f"{money}: Stripe wants the third decimal to be 0")
    return amount


def positive_to_stripe(money: Money) -> int:
    """Return the integer for an amount that is to move. Raises: InexpressibleAmount."""
    if money.amount <= 0:
        raise InexpressibleAmount(f"{money} can't be moved")
    return to_stripe(money)


def from_stripe(amount: int, currency: str) -> Money:
    """Return the money of an integer in a Stripe object, whose currency is in lower case.

    Raises: InexpressibleAmount, and CurrencyError for a currency we don't know.
    """
    code = currency.upper()
    shift = digits(code) - stripe_digits(code)
    return Money(_shifted(amount, shift, f"{amount} is no whole amount of {code}"), code)


def rate_from_stripe(rate: str, from_currency: str, to_currency: str) -> Decimal:
    """Return a rate between two of Stripe's integers as one between major units, exactly.

    Stripe's 0.67 from yen to US dollars makes 804 cents of 1200 yen: 0.0067 dollars a yen.
    """
    sign, digits_, exponent = Decimal(rate).as_tuple()
    assert isinstance(exponent, int), "the gateway lets nothing but decimals through"
    shift = stripe_digits(from_currency) - stripe_digits(to_currency)
    return Decimal((sign, digits_, exponent + shift))


def stripe_digits(currency: str) -> int:
    """Return how many decimals Stripe counts a currency in; most have two."""
    if currency in ZERO_DECIMAL:
        return 0
    return 3 if currency in THREE_DECIMAL else 2


def _shifted(amount: int, places: int, problem: str) -> int:
    factor: int = 10 ** abs(places)
    if places >= 0:
        return amount * factor
    quotient, rest = divmod(amount, factor)
    if rest:
        raise InexpressibleAmount(problem)
    return quotient
