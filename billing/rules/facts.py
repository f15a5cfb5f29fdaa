"""Facts that are stored beside a kind, as values that JSON has."""

from collections.abc import Mapping
from datetime import date
from typing import Any
from uuid import UUID

from billing.rules.actor import Actor


def as_json(facts: Mapping[str, object]) -> dict[str, Any]:
    """Return facts as JSON has them: instants and dates in ISO 8601, ids and actors as text."""
    return {name: _plain(value) for name, value in facts.items()}


def _plain(value: object) -> object:
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, UUID | Actor) else value
