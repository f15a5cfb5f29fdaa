"""Reading answers without trusting their shape, nor that they have no card numbers.

The SDK makes plain values of the XML: dictionaries, lists, texts, dates, and times in UTC that
don't say so.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import Final, cast

from billing.gateway.braintree.amounts import from_text
from billing.pan import contains_card_number, without_card_numbers
from billing.rules.money import Money

Node = Mapping[str, object]
LARGEST_AMOUNT: Final = 10**15 - 1  # minor units; sums of many have to fit the ledger
OURS: Final = "perennial_"
"""What the names of our custom fields begin with."""


class MalformedNode(ValueError):
    """The answer is XML, but not the object that was asked for."""

    def __init__(self, what: str) -> None:
        super().__init__(without_card_numbers(what))


def mapping(value: object) -> Node:
    """Return an object, or an empty one for anything else."""
    return cast(Node, value) if isinstance(value, Mapping) else {}


def several(value: object) -> Sequence[Node]:
    """Return the objects of an array, or of an element that stands there once or several times."""
    if isinstance(value, Mapping):
        return [cast(Node, value)]
    return [mapping(each) for each in value] if isinstance(value, list) else []


def texts(value: object) -> Sequence[str]:
    """Return the texts of an array."""
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def text(data: Node, name: str) -> str | None:
    """Return a text that isn't empty, or None."""
    value = data.get(name)
    return without_card_numbers(value) if isinstance(value, str) and value else None


def required(data: Node, name: str) -> str:
    """Return an id or a word that has to be there. Raises: MalformedNode."""
    value = data.get(name)
    if not isinstance(value, str) or not value:
        raise MalformedNode(f"{name} is missing")
    if contains_card_number(value):  # an id is never shortened: it would no longer be unique
        raise MalformedNode(f"{name} looks like a card number")
    return value


def reference(data: Node, name: str) -> str | None:
    """Return an id, or None where there is none or it looks like a card number."""
    value = data.get(name)
    return value if isinstance(value, str) and value and not contains_card_number(value) else None


def instant(data: Node, name: str) -> datetime:
    """Return a time that has to be there. Raises: MalformedNode."""
    value = data.get(name)
    if not isinstance(value, datetime) or not 1970 <= value.year < 2200:
        raise MalformedNode(f"{name} is missing or no time")
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def day(data: Node, name: str) -> date | None:
    """Return a date, or None where there is none."""
    value = data.get(name)
    if isinstance(value, datetime):
        value = value.date()
    return value if isinstance(value, date) and 1970 <= value.year < 2200 else None


def midnight(of: date) -> datetime:
    """Return the instant at which a date begins, in UTC."""
    return datetime.combine(of, time(), UTC)


def money(data: Node, name: str, currency: str | None = None) -> Money:
    """Return an amount, in its object's currency unless told otherwise. Raises: MalformedNode."""
    try:
        found = from_text(required(data, name), currency or required(data, "currency_iso_code"))
    except MalformedNode:
        raise
    except ValueError as error:
        raise MalformedNode(str(error)) from error
    if abs(found.amount) > LARGEST_AMOUNT:
        raise MalformedNode(f"{name} is more than one object can move")
    return found


def metadata(data: Node) -> Mapping[str, str]:
    """Return what our custom fields say, by the engine's own names."""
    return {
        name.removeprefix(OURS): without_card_numbers(str(value))
        for name, value in mapping(data.get("custom_fields")).items()
        if name.startswith(OURS) and value
    }
