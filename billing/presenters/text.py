"""Small words that all sentences share: instants, spans, amounts, capitals."""

from datetime import datetime
from typing import Any

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


def capital(words: str) -> str:
    """Begin with a capital letter and leave the rest."""
    return words[:1].upper() + words[1:]
