"""Finding a thing by what a person types: an id, its beginning, or a name that people know."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal
from uuid import UUID

from sqlalchemy import Connection, text

from billing.ledger.keys import EntryKind

Noun = Literal[
    "subscription",
    "customer",
    "payment",
    "invoice",
    "credit note",
    "break",
    "refund",
    "dispute",
    "exchange",
    "grant",
]

_BY_NAME: Final[Mapping[Noun, str]] = {
    "subscription": "SELECT id FROM subscriptions WHERE external_id = :name",
    "customer": "SELECT id FROM customers WHERE external_id = :name",
    "invoice": "SELECT id FROM invoices WHERE number = :name",
    "credit note": "SELECT id FROM credit_notes WHERE number = :name",
    "refund": "SELECT id FROM refunds WHERE provider_refund_id = :name",
    "dispute": "SELECT id FROM disputes WHERE provider_dispute_id = :name",
    "exchange": (
        f"SELECT id FROM fx_events WHERE source_key IN (:name, '{EntryKind.FX_EVENT.prefix}'"  # noqa: S608  a constant
        " || :name)"
    ),
}
_BY_ID: Final[Mapping[Noun, str]] = {
    "subscription": "SELECT id FROM subscriptions WHERE id BETWEEN :low AND :high",
    "customer": "SELECT id FROM customers WHERE id BETWEEN :low AND :high",
    "payment": "SELECT id FROM payments WHERE id BETWEEN :low AND :high",
    "invoice": "SELECT id FROM invoices WHERE id BETWEEN :low AND :high",
    "credit note": "SELECT id FROM credit_notes WHERE id BETWEEN :low AND :high",
    "break": "SELECT id FROM breaks WHERE id BETWEEN :low AND :high",
    "refund": "SELECT id FROM refunds WHERE id BETWEEN :low AND :high",
    "dispute": "SELECT id FROM disputes WHERE id BETWEEN :low AND :high",
    "exchange": "SELECT id FROM fx_events WHERE id BETWEEN :low AND :high",
    "grant": "SELECT id FROM credit_grants WHERE id BETWEEN :low AND :high",
}
_FEW: Final = " ORDER BY id LIMIT 5"


def by_name(conn: Connection, noun: Noun, name: str) -> UUID | None:
    """Return the id behind an external id or an invoice number."""
    query = _BY_NAME.get(noun)
    if query is None:
        return None
    found: UUID | None = conn.execute(text(query), {"name": name}).scalar()
    return found


def by_id_prefix(conn: Connection, noun: Noun, digits: str) -> Sequence[UUID]:
    """Return up to five ids that begin with these hexadecimal digits (1 to 32, no hyphens)."""
    bounds = {"low": UUID(digits.ljust(32, "0")), "high": UUID(digits.ljust(32, "f"))}
    return list(conn.execute(text(_BY_ID[noun] + _FEW), bounds).scalars())
