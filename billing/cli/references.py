"""From what a person types to a row: an id, its beginning, an external id, an invoice number."""

import re
from typing import TYPE_CHECKING, Final
from uuid import UUID

from billing.errors import BadInput, NotFound

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from billing.queries.references import Noun

_DIGITS: Final = re.compile(r"[0-9a-f]{8,32}")
_WHERE_LISTED: Final = {
    "subscription": "billing subscriptions list",
    "customer": "billing customers list",
    "payment": "billing charges list",
    "invoice": "billing invoices list",
    "break": "billing breaks list --all",
    "credit note": "billing credit-notes list",
    "refund": "billing refunds list",
    "dispute": "billing disputes list",
    "exchange": "billing fx list",
    "grant": "billing credit list",
}


def find(conn: "Connection", noun: "Noun", typed: str) -> UUID:
    """Return the id of what was typed. Raises: NotFound, BadInput for an ambiguous beginning."""
    found = look_for(conn, noun, typed)
    if found is None:
        raise NotFound(
            f"no {noun} {typed!r}",
            remedy=f"`{_WHERE_LISTED[noun]}` shows them;"
            " an id may be cut off after 8 characters or more",
        )
    return found


def look_for(conn: "Connection", noun: "Noun", typed: str) -> UUID | None:
    """Return the id of what was typed, or None. Raises: BadInput for an ambiguous beginning."""
    from billing.queries import references

    named = references.by_name(conn, noun, typed)
    if named is not None:
        return named
    digits = typed.lower().replace("-", "")
    if not _DIGITS.fullmatch(digits):
        return None
    found = references.by_id_prefix(conn, noun, digits)
    if len(found) > 1:
        raise BadInput(
            f"{typed!r} is the beginning of {len(found)} or more ids:"
            f" {', '.join(str(each) for each in found)}",
            remedy="type more of it",
        )
    return found[0] if found else None
