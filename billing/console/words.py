"""Values as texts for people: the same amounts and instants as everywhere."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import Enum
from fractions import Fraction
from typing import Any, Final
from uuid import UUID

from billing.console import links
from billing.plans.numbers import exact_text
from billing.presenters.text import amount, capital
from billing.queries.attention import MANY
from billing.queries.references import Noun
from billing.rules.payment_methods import PaymentMethodKind, recognised_by
from billing.rules.texts import one_line

NOTHING: Final = "\N{EN DASH}"


def text(value: object) -> str:
    """Return a value in one line; what is missing is a dash."""
    match value:
        case None | "":
            return NOTHING
        case bool():
            return "yes" if value else "no"
        case datetime():
            return instant(value)
        case Fraction():
            return exact_text(value)
        case Enum():
            return plain(str(value.value))
        case _:
            return one_line(str(value))


def plain(word: object) -> str:
    """Return a word of ours for people, like "past due" of past_due."""
    return str(word).replace("_", " ")


def money(minor_units: int | None, currency: str | None) -> str:
    """Return an amount with its currency."""
    return NOTHING if minor_units is None else amount(minor_units, currency)


def instant(at: datetime | date | None) -> str:
    """Return an instant in UTC, or a civil date as it is."""
    if at is None:
        return NOTHING
    if not isinstance(at, datetime):
        return at.isoformat()
    if at.tzinfo is None:
        return f"{at:%Y-%m-%d %H:%M}"
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M}Z"


def machine(at: datetime) -> str:
    """Return an instant for programs."""
    return at.astimezone(UTC).isoformat()


def short(value: UUID | str) -> str:
    """Return the end of an id, by which a person tells it from others in a list."""
    return str(value)[-8:]


def capped(count: int) -> str:
    """Return a count that was stopped at `MANY`."""
    return f"{MANY:,}+" if count > MANY else f"{count:,}"


def card(kind: str | None, brand: str | None, last4: str | None) -> str:
    """Return what a payment method is recognised by."""
    return NOTHING if kind is None else recognised_by(PaymentMethodKind(kind), brand, last4)


TONES: Final[Mapping[str, str]] = {
    "FAILED": "danger",
    "failed": "danger",
    "uncollectible": "danger",
    "past_due": "warning",
    "unpaid": "danger",
    "parked": "warning",
    "open": "warning",
    "opened": "warning",
    "CREATED": "warning",
    "paid": "success",
    "CAPTURED": "success",
    "SETTLED": "success",
    "active": "success",
    "succeeded": "success",
    "closed": "success",
    "won": "success",
    "lost": "danger",
}


def tone(state: object) -> str:
    """Return how a state is marked beside its word."""
    return TONES.get(str(state), "secondary")


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a sentence, and where it leads."""

    text: str
    href: str = ""


_ID: Final = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_NAMED: Final = re.compile(
    rf"\b(payment|subscription|invoice|customer|refund|dispute|break) ({_ID}|[\w.-]*-[0-9]{{4,}})"
    r"|\b(entry) ([0-9]+)\b",
    re.IGNORECASE,
)
_NOUNS: Final[Mapping[str, Noun]] = {
    "payment": "payment",
    "subscription": "subscription",
    "invoice": "invoice",
    "customer": "customer",
    "refund": "refund",
    "dispute": "dispute",
    "break": "break",
}


def linked(sentence: str) -> list[Part]:
    """Return a sentence in parts: what it names by id or number leads to its page."""
    found, end = [], 0
    for match in _NAMED.finditer(sentence):
        group = 2 if match[2] else 4
        href = (
            links.to(_NOUNS[match[1].lower()], match[2]) if match[2] else links.entry(int(match[4]))
        )
        found += [Part(sentence[end : match.start(group)]), Part(match[group], href)]
        end = match.end(group)
    return [each for each in (*found, Part(sentence[end:])) if each.text]


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "text": text,
    "plain": plain,
    "money": money,
    "instant": instant,
    "machine": machine,
    "short": short,
    "capped": capped,
    "card": card,
    "tone": tone,
    "linked": linked,
    "capital": capital,
}
