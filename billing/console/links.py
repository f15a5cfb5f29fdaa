"""The addresses of things."""

from typing import Final
from urllib.parse import quote, urlencode

from billing.queries.references import Noun

_PLACES: Final[dict[Noun, str]] = {
    "subscription": "subscriptions",
    "customer": "customers",
    "payment": "payments",
    "invoice": "invoices",
}


def to(noun: Noun, reference: object) -> str:
    """Return the address of a thing's page; of what has none, that of the search for it."""
    if noun in _PLACES:
        return f"/console/{_PLACES[noun]}/{quote(str(reference), safe='')}"
    return f"/console/search?{urlencode({'q': str(reference)})}"


def has_page(noun: Noun) -> bool:
    """Tell whether there is a page for a thing."""
    return noun in _PLACES


def entry(entry_id: int) -> str:
    """Return the address of a journal entry."""
    return f"/console/entries/{entry_id}"


def listed(place: str, **query: object) -> str:
    """Return the address of a list with these filters; empty ones are left out."""
    given = {name: value for name, value in query.items() if value not in (None, "")}
    return f"/console/{place}?{urlencode(given)}" if given else f"/console/{place}"
