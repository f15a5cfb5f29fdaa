"""Reading an answer's fields without trusting their shape, nor that they have no card numbers.

The provider's texts get into rows and messages, and people type into its dashboard. So no text
passes here that looks like a card number: such words are removed, and such an id is refused.
"""

from collections.abc import Mapping
from typing import Final, cast

from billing.pan import contains_card_number, without_card_numbers

Fields = Mapping[str, object]
LARGEST_AMOUNT: Final = 10**15 - 1  # minor units; sums of many have to fit the ledger


class Malformed(ValueError):
    """The answer can be parsed, but isn't the object that was asked for."""

    def __init__(self, what: str) -> None:
        super().__init__(without_card_numbers(what))


def mapping(value: object) -> Fields:
    """Return an object, or an empty one for anything else."""
    return cast(Fields, value) if isinstance(value, Mapping) else {}


def identifier(value: object) -> str | None:
    """Return an id, or None where there is none or it looks like a card number."""
    return value if isinstance(value, str) and value and not contains_card_number(value) else None


def text(data: Fields, name: str) -> str | None:
    """Return a text that isn't empty, or None."""
    value = data.get(name)
    return without_card_numbers(value) if isinstance(value, str) and value else None


def required(data: Fields, name: str) -> str:
    """Return an id or a word that has to be there. Raises: Malformed."""
    value = data.get(name)
    if not isinstance(value, str) or not value:
        raise Malformed(f"{name} is missing")
    if contains_card_number(value):  # an id is never shortened: it would no longer be unique
        raise Malformed(f"{name} looks like a card number")
    return value
