"""Reading Stripe's JSON, beside what `billing.gateway.untrusted` reads."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from billing.gateway.stripe.amounts import from_stripe
from billing.gateway.untrusted import LARGEST_AMOUNT, Malformed, identifier, mapping, required
from billing.pan import without_card_numbers
from billing.rules.money import Money

Json = Mapping[str, object]
_TOO_LATE: Final = int(datetime(2200, 1, 1, tzinfo=UTC).timestamp())


def expect(data: Json, kind: str) -> None:
    """Check that this is an object of that kind. Raises: Malformed."""
    if data.get("object") != kind:
        raise Malformed(f"expected a {kind}, got {str(data.get('object'))[:40]!r}")


def reference(value: object) -> str | None:
    """Return the id of a field that holds an id or, expanded, the object."""
    if isinstance(value, Mapping):
        value = value.get("id")
    return identifier(value)


def integer(data: Json, name: str) -> int:
    """Return a whole number that has to be there. Raises: Malformed."""
    value = data.get(name)
    if type(value) is not int:
        raise Malformed(f"{name} is missing")
    return value


def instant(data: Json, name: str) -> datetime:
    """Return a time that has to be there. Raises: Malformed."""
    return to_instant(integer(data, name))


def to_instant(seconds: int) -> datetime:
    """Return the instant of a count of seconds since 1970, before 2200. Raises: Malformed."""
    if seconds >= _TOO_LATE:
        raise Malformed(f"{seconds} is no time")
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError) as error:
        raise Malformed(f"{seconds} is no time") from error


def money(data: Json, name: str) -> Money:
    """Return an amount in the currency of its object, of 15 digits at most. Raises: Malformed."""
    amount = integer(data, name)
    if abs(amount) > LARGEST_AMOUNT:
        raise Malformed(f"{name} is more than one object can move")
    try:
        return from_stripe(amount, required(data, "currency"))
    except Malformed:
        raise
    except ValueError as error:
        raise Malformed(str(error)) from error


def metadata(data: Json) -> Mapping[str, str]:
    """Return an object's metadata, ours and that of others."""
    return {
        without_card_numbers(name): without_card_numbers(str(value))
        for name, value in mapping(data.get("metadata")).items()
    }
