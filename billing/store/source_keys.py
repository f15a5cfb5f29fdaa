"""Source keys of the journal, made in SQL of columns."""

from billing.ledger.keys import EntryKind
from billing.rules.provider_names import FIRST_ACCOUNT


def within_sql(provider: str, id_: str) -> str:
    """Return the SQL of what `keys.within` makes of two columns."""
    return f"CASE {provider} WHEN '{FIRST_ACCOUNT}' THEN '' ELSE {provider} || '/' END || {id_}"


def key_sql(kind: EntryKind, provider: str, id_: str) -> str:
    """Return the SQL of the source key of a kind of entry about an id within an account."""
    return f"'{kind.prefix}' || {within_sql(provider, id_)}"
