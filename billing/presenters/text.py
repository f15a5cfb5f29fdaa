"""Small words that all sentences share: instants, spans, amounts, capitals."""

from datetime import datetime
from fractions import Fraction
from typing import Any

from billing.plans.currencies import digits
from billing.plans.numbers import exact_text
from billing.rules.money import Money, format_money


def at(instant: datetime) -> str:
    """Write an instant, like 2026-01-31 00:00 UTC."""
    return f"{instant:%Y-%m-%d %H:%M} UTC"


def span(start: datetime, end: datetime) -> str:
    """Write a period; its end is not part of it."""
    return f"from {at(start)} up to {at(end)}"


def amount(minor_units: Any, currency: str | None) -> str:
    """Write an amount, also an impossible one: a finding may be about that."""
    try:
        return format_money(Money(int(minor_units or 0), currency or ""))
    except ValueError:
        return f"{minor_units} minor units of {currency}"


def exact_price(minor_units: Fraction, currency: str) -> str:
    """Write the exact price of a unit, which may be less than a minor unit: 0.0008 USD."""
    places = digits(currency)
    major = exact_text(minor_units / 10**places)
    whole, _, decimals = major.partition(".")
    return f"{whole}.{decimals.ljust(places, '0')} {currency}" if places else f"{major} {currency}"


def capital(words: str) -> str:
    """Begin with a capital letter and leave the rest."""
    return words[:1].upper() + words[1:]
