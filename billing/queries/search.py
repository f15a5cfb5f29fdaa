"""Finding what a person has in hand: any id, number, e-mail address, or the end of a card."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from billing.queries import references
from billing.queries.references import Noun

MOST: Final = 20
"""How many things are found at most by one way."""

_NOUNS: Final[tuple[Noun, ...]] = (
    "customer", "subscription", "payment", "invoice", "refund", "dispute", "break", "credit note",
)  # fmt: skip
_ID: Final = re.compile(r"[0-9a-f]{8,32}")
_LAST4: Final = re.compile(r"[0-9]{4}")

# By the beginning of a provider's id. Ids of unknown kinds are looked for in all of these.
_AT_PROVIDER: Final[Mapping[Noun, str]] = {
    "payment": (
        "SELECT id FROM payments WHERE provider_payment_id = :typed"
        " UNION SELECT id FROM payments WHERE provider_charge_id = :typed"
    ),
    "customer": (
        "SELECT customer_id FROM provider_customers WHERE provider_customer_id = :typed"
        " UNION SELECT customer_id FROM payment_methods WHERE provider_payment_method_id = :typed"
    ),
}
_BY_EMAIL: Final = "SELECT id FROM customers WHERE lower(email) = lower(:typed) ORDER BY id DESC"
_BY_LAST4: Final = "SELECT DISTINCT customer_id FROM payment_methods WHERE last4 = :typed"


@dataclass(frozen=True, slots=True)
class Hit:
    """One thing that was found."""

    noun: Noun
    id: UUID


def search(conn: Connection, typed: str) -> list[Hit]:
    """Return what an id, its beginning, a number, an address or four digits name, each once."""
    typed = typed.strip()
    return list(dict.fromkeys(_hits(conn, typed))) if typed else []


def _hits(conn: Connection, typed: str) -> Iterator[Hit]:
    for noun in _NOUNS:
        named = references.by_name(conn, noun, typed)
        if named is not None:
            yield Hit(noun, named)
    if "@" in typed:
        yield from _found(conn, "customer", _BY_EMAIL, typed)
        return
    for noun, query in _AT_PROVIDER.items():
        yield from _found(conn, noun, query, typed)
    yield from _by_beginning(conn, typed.lower().replace("-", ""))
    if _LAST4.fullmatch(typed):
        yield from _found(conn, "customer", _BY_LAST4, typed)


def _by_beginning(conn: Connection, digits: str) -> Iterator[Hit]:
    if _ID.fullmatch(digits) is None:
        return
    for noun in _NOUNS:
        for found in references.by_id_prefix(conn, noun, digits):
            yield Hit(noun, found)


def _found(conn: Connection, noun: Noun, query: str, typed: str) -> Iterator[Hit]:
    for found in conn.execute(text(f"{query} LIMIT {MOST}"), {"typed": typed}).scalars():
        yield Hit(noun, found)
