"""Small words that all sentences share: instants, spans, capitals."""

from datetime import datetime


def at(instant: datetime) -> str:
    """Write an instant, like 2026-01-31 00:00 UTC."""
    return f"{instant:%Y-%m-%d %H:%M} UTC"


def span(start: datetime, end: datetime) -> str:
    """Write a period; its end is not part of it."""
    return f"from {at(start)} up to {at(end)}"


def capital(words: str) -> str:
    """Begin with a capital letter and leave the rest."""
    return words[:1].upper() + words[1:]
