"""The digest of a closed cycle: one hash over all that was true when it closed.

`billing prove` computes the digest again from the rows; a difference means that somebody changed
history. The digest leaves out what may change after closing (settlement, refunds). Where the
settlement corrected a payment of a closed cycle, the digest uses the payment's values from before
the correction, which the correction's row keeps.
"""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC
from uuid import UUID

from sqlalchemy import Connection

from billing.store.subscriptions import digest
from billing.store.subscriptions.digest import DigestInput

_INSTANTS = ("period_start", "period_end")


def cycle_digests(conn: Connection, cycle_ids: Sequence[UUID]) -> dict[UUID, str]:
    """Return the digest of each cycle as its rows and journal entries stand now (hex SHA-256)."""
    return {found.id: _digest(found) for found in digest.facts(conn, cycle_ids)}


def _digest(found: DigestInput) -> str:
    facts = {
        # In UTC whatever zone the session shows: the hash of an instant is one.
        name: value.astimezone(UTC).isoformat() if name in _INSTANTS else value
        for name, value in found.columns.items()
    }
    entries = [[each.id, each.source_key, each.payload_hash.hex()] for each in found.entries]
    canonical = json.dumps(
        {"cycle": facts, "entries": entries}, sort_keys=True, separators=(",", ":"), default=str
    )
    return hashlib.sha256(canonical.encode()).hexdigest()
