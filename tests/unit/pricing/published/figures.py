"""Between the text of published figures and minor units."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from billing.plans.currencies import digits

Given = Mapping[str, Any]
Found = Mapping[str, Any]


def currency_of(given: Given) -> str:
    return str(given.get("currency", "USD"))


def scale_of(given: Given) -> int:
    """Return how many minor units a unit of the case's figures has."""
    in_minor = given.get("amounts_in") == "minor units"
    return 1 if in_minor else 10 ** digits(currency_of(given))


def minor(text: str, given: Given) -> Fraction:
    return Fraction(text) * scale_of(given)


def whole_minor(text: str, given: Given) -> int:
    amount = minor(text, given)
    assert amount.denominator == 1, f"{text} has no whole minor units"
    return amount.numerator


def shown(amount: int | Fraction, given: Given) -> Fraction:
    return Fraction(amount) / scale_of(given)


def comparable(value: Any) -> Any:
    """Return a figure with every number in it exact, whatever way it is written."""
    if isinstance(value, Mapping):
        return {key: comparable(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [comparable(each) for each in value]
    try:
        return Fraction(value)
    except (TypeError, ValueError):
        return value
