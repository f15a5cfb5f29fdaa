"""Pieces of the statements that read settlement rows `r`."""

from collections.abc import Sequence
from typing import Final


def in_list(words: Sequence[str]) -> str:
    """Return constant words as the list behind an IN; never for what comes from outside."""
    return "(" + ", ".join(f"'{word}'" for word in words) + ")"


# The unmatched rows `r` of a batch.
RANGE: Final = (
    "r.provider = :provider AND r.matched_at IS NULL AND r.provider_transaction_id > :after"
    " AND r.provider_transaction_id <= :upto"
)
_UUID: Final = "'^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'"
SHOWN: Final = """coalesce(r.customer_amount, r.amount) AS shown,
             coalesce(r.customer_currency, r.currency) AS shown_in"""


def own_id(key: str) -> str:
    """Return the SQL of our own id in the metadata, or NULL for what is no id."""
    return (
        f"CASE WHEN r.metadata ->> '{key}' ~ {_UUID} THEN CAST(r.metadata ->> '{key}' AS uuid) END"
    )
