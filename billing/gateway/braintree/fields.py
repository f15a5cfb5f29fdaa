"""Reading what the SDK makes of an answer, beside what `billing.gateway.untrusted` reads.

The SDK makes plain values of the XML: dictionaries, lists, texts, dates, and times in UTC that
don't say so.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import Final, cast

from billing.gateway.braintree.amounts import from_text
from billing.gateway.untrusted import (
    LARGEST_AMOUNT,
    Malformed,
    identifier,
    mapping,
    required,
)
from billing.pan import without_card_numbers
from billing.rules.money import Money

Node = Mapping[str, object]
OURS: Final = "perennial_"
"""What the names of our custom fields begin with."""
SECOND: Final = "_2"
"""How the name of a field ends that has the rest of another one."""


def several(value: object) -> Sequence[Node]:
    """Return the objects of an array, or of an element that stands there once or several times."""
    if isinstance(value, Mapping):
        return [cast(Node, value)]
    return [mapping(each) for each in value] if isinstance(value, list) else []


def texts(value: object) -> Sequence[str]:
    """Return the texts of an array."""
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def reference(data: Node, name: str) -> str | None:
    """Return an id, or None where there is none or it looks like a card number."""
    return identifier(data.get(name))


def instant(data: Node, name: str) -> datetime:
    """Return a time that has to be there. Raises: Malformed."""
    value = data.get(name)
    if not isinstance(value, datetime) or not 1970 <= value.year < 2200:
        raise Malformed(f"{name} is missing or no time")
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
    """Return an amount, in its object's currency unless told otherwise. Raises: Malformed."""
    try:
        found = from_text(required(data, name), currency or required(data, "currency_iso_code"))
    except Malformed:
        raise
    except ValueError as error:
        raise Malformed(str(error)) from error
    if abs(found.amount) > LARGEST_AMOUNT:
        raise Malformed(f"{name} is more than one object can move")
    return found


def metadata(data: Node) -> Mapping[str, str]:
    """Return what our custom fields say, by the engine's own names."""
    told = {
        name.removeprefix(OURS): str(value)
        for name, value in mapping(data.get("custom_fields")).items()
        if name.startswith(OURS) and value
    }
    return {
        name: without_card_numbers(value + told.get(f"{name}{SECOND}", ""))
        for name, value in told.items()
        if not name.endswith(SECOND)
    }
