"""Usage events as they are sent, one by one, and what becomes of each. Pure and exact.

A number is a text here, as it was written: it becomes `numeric` in PostgreSQL and never a float.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import blake2b
from typing import Any, Final, TypeGuard
from uuid import UUID, uuid5

from billing.pan import contains_card_number

AHEAD_MAX: Final = timedelta(minutes=5)
"""How far in the future an event may be."""
BATCH_MAX: Final = 1_000
"""How many events may be sent at once."""
DIGITS_MAX: Final = 18
"""How many digits a value may have before its point."""
DECIMALS_MAX: Final = 12
"""How many digits a value may have behind its point."""
TEXT_MAX: Final = 255
"""How many characters an id, a name, a reference and a key may have."""

MEMBERS: Final = frozenset(("id", "event", "subscription", "customer", "item", "at", "properties"))
"""The members of an event."""

_IDS: Final = UUID("6f1c9f6b-6c4e-5c0e-9a55-0f8d4f0b6a11")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_NUMBER: Final = re.compile(r"(-?)([0-9]{1,400})(?:\.([0-9]{1,400}))?(?:[eE]([+-]?[0-9]{1,3}))?")
_CANONICAL: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
_CARD_MIN: Final = 13  # no card number has fewer digits


class UsageRefusal(StrEnum):
    """Why an event isn't counted."""

    UNREADABLE = "unreadable"
    """It isn't an object with the members of an event."""
    NO_ID = "no_id"
    BAD_TIME = "bad_time"
    """Its instant isn't one, or has no offset."""
    IN_FUTURE = "in_future"
    TOO_OLD = "too_old"
    UNKNOWN_EVENT = "unknown_event"
    """No published meter counts events of that name."""
    UNKNOWN_SUBSCRIPTION = "unknown_subscription"
    AMBIGUOUS = "ambiguous"
    """The customer holds the item several times: the event has to name the subscription."""
    NOT_SOLD = "not_sold"
    """The subscription holds no item that counts such events."""
    FILTERED = "filtered"
    """Its properties are none that the meters take."""
    BAD_VALUE = "bad_value"
    """A property that a meter reads is missing, is no number, or is out of bounds."""
    NOT_STARTED = "not_started"
    PAUSED = "paused"
    UNPAID = "unpaid"
    CANCELED = "canceled"


class UsageNumber(str):
    """A number as it was written in JSON."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """One event: its subscription, or the customer and the item that bills it."""

    id: UUID
    name: str
    at: datetime
    properties: Mapping[str, Any]
    subscription: str | None = None
    customer: str | None = None
    item: str | None = None

    def payload(self, subscription_id: UUID) -> int:
        """Return 64 bits, signed, that differ where a retry says something else."""
        text = _CANONICAL.encode((self.name, subscription_id.hex, self.properties))
        return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)


def event_id(text: str) -> UUID:
    """Return the id that an event is counted under: a UUID is itself, of other texts one is made.

    The same text always makes the same one.
    """
    return UUID(text) if _UUID.fullmatch(text) else uuid5(_IDS, text)


def read_event(row: Any) -> UsageEvent | UsageRefusal:
    """Return what a row of a batch says, or why it can't be read."""
    if not isinstance(row, dict) or not row.keys() <= MEMBERS:
        return UsageRefusal.UNREADABLE
    written = row.get("id")
    if not _is_name(written):
        return UsageRefusal.NO_ID
    at = _instant(row.get("at"))
    if at is None:
        return UsageRefusal.BAD_TIME
    name, properties = row.get("event"), row.get("properties")
    if not _is_name(name) or not (properties is None or isinstance(properties, dict)):
        return UsageRefusal.UNREADABLE
    subject = row.get("subscription"), row.get("customer"), row.get("item")
    if not _names_one(*subject):
        return UsageRefusal.UNREADABLE
    return UsageEvent(event_id(written), name, at, properties or {}, *subject)


def _is_name(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= TEXT_MAX and "\x00" not in value


def _names_one(subscription: Any, customer: Any, item: Any) -> bool:
    """Tell whether an event names a subscription, or else a customer and an item."""
    if subscription is not None:
        return _is_name(subscription) and customer is None and item is None
    return _is_name(customer) and _is_name(item)


def _instant(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value)
        return None if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def text_of(value: Any) -> str | None:
    """Return a property as meters compare it; None where it is none, or has parts."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return None


def number_of(value: Any) -> str | None:
    """Return a property as an exact number in plain digits; None where it is none within bounds.

    A text counts as the number that is written in it.
    """
    if not isinstance(value, str) or _hides_a_card(value):
        return None
    if value.isdecimal() and value.isascii() and len(value) <= DIGITS_MAX:
        return str(value)
    found = _NUMBER.fullmatch(value)
    return None if found is None else _plain(*found.groups(default=""))


def _plain(sign: str, whole: str, decimals: str, exponent: str) -> str | None:
    """Write a number without an exponent; None where it has too many digits."""
    digits, shift = whole + decimals, len(whole) + int(exponent or "0")
    if not digits.strip("0"):
        return "0"
    if shift < 0:
        digits, shift = "0" * -shift + digits, 0
    digits = digits.ljust(shift, "0")
    before, behind = digits[:shift].lstrip("0"), digits[shift:].rstrip("0")
    if len(before) > DIGITS_MAX or len(behind) > DECIMALS_MAX:
        return None
    return f"{sign}{before or '0'}" + (f".{behind}" if behind else "")


def key_of(value: Any) -> UUID | None:
    """Return 128 bits of a property that say which key it is; None where it is no key."""
    text = text_of(value)
    if text is None or not 0 < len(text) <= TEXT_MAX or _hides_a_card(text):
        return None
    return UUID(bytes=blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest())


def _hides_a_card(text: str) -> bool:
    return len(text) >= _CARD_MIN and contains_card_number(text)
