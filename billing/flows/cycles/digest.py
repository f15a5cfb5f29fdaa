"""The digest of a closed cycle: one hash over all that was true when it closed.

`billing prove` computes the digest again from the rows; a difference means that somebody changed
history. The digest leaves out what may change after closing (settlement, refunds). Where the
settlement corrected a payment of a closed cycle, the digest uses the payment's values from before
the correction, which the correction's row keeps.
"""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, tzinfo
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from billing.store.subscriptions import digest
from billing.store.subscriptions.digest import DigestInput

_INSTANTS = ("period_start", "period_end")
# Where a row has none, the digest is that of releases before there was such a column.
_LATER = ("facts_digest",)


def cycle_digests(
    conn: Connection, cycle_ids: Sequence[UUID], zone: str | None = None
) -> dict[UUID, str]:
    """Return the digest of each cycle as its rows and journal entries stand now (hex SHA-256).

    A `zone` gives the digest that a connection with that time zone made before digests were in UTC.
    """
    spelled = UTC if zone is None else ZoneInfo(zone)
    return {found.id: _digest(found, spelled) for found in digest.facts(conn, cycle_ids)}


def _digest(found: DigestInput, zone: tzinfo) -> str:
    facts = {
        # In UTC whatever zone the session shows: the hash of an instant is one.
        name: value.astimezone(zone).isoformat() if name in _INSTANTS else value
        for name, value in found.columns.items()
        if name not in _LATER or value is not None
    }
    entries = [[each.id, each.source_key, each.payload_hash.hex()] for each in found.entries]
    canonical = json.dumps(
        {"cycle": facts, "entries": entries}, sort_keys=True, separators=(",", ":"), default=str
    )
    return hashlib.sha256(canonical.encode()).hexdigest()
