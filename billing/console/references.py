"""From what stands in an address or is typed to a row's id."""

import re
from collections.abc import Callable
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from billing.errors import BadInput, NotFound
from billing.queries import references
from billing.queries.references import Noun

_DIGITS: Final = re.compile(r"[0-9a-f]{8,32}")


def find(conn: Connection, noun: Noun, typed: str) -> UUID:
    """Return the id of a thing by id, its beginning, or the name that people know.

    Raises: NotFound, BadInput for a beginning of several ids.
    """
    named = references.by_name(conn, noun, typed)
    if named is not None:
        return named
    digits = typed.lower().replace("-", "")
    found = references.by_id_prefix(conn, noun, digits) if _DIGITS.fullmatch(digits) else ()
    if len(found) > 1:
        raise BadInput(f"this is the beginning of {len(found)} ids or more", where=noun)
    if not found:
        raise NotFound(f"there is no such {noun}")
    return found[0]


def reader(noun: Noun) -> Callable[[Connection, str], UUID]:
    """Return what makes an id of what was typed into a filter."""
    return lambda conn, typed: find(conn, noun, typed)
