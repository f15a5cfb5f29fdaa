"""The digest of a closed cycle: one hash over all that was true when it closed.

`billing prove` computes the digest again from the rows; a difference means that somebody changed
history. The digest leaves out what may change after closing (settlement, refunds). Where the
settlement corrected a payment of a closed cycle, the digest uses the payment's values from before
the correction, which the correction's row keeps.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

_ROWS = text(
    """
    SELECT c.id, c.subscription_id, c.n, c.kind, c.period_start, c.period_end, c.plan,
           c.plan_version, i.id AS invoice_id, i.number, i.currency, i.net, i.tax, i.total,
           coalesce(late.evidence ->> 'invoice_was', i.status) AS status, p.id AS payment_id,
           p.amount, CASE WHEN late.evidence IS NULL THEN p.amount_captured ELSE 0 END
             AS amount_captured,
           CASE WHEN late.evidence IS NULL THEN p.provider_payment_id
                ELSE late.evidence ->> 'provider_payment_was' END AS provider_payment_id,
           (SELECT json_agg(json_build_array(l.line, l.description, l.quantity, l.unit_amount,
                                             l.amount) ORDER BY l.line)
              FROM invoice_lines l WHERE l.invoice_id = i.id) AS lines
      FROM cycles c
      LEFT JOIN invoices i ON i.cycle_id = c.id
      LEFT JOIN payments p ON p.invoice_id = i.id
      LEFT JOIN LATERAL (
           SELECT t.evidence FROM payment_transitions t
            WHERE t.payment_id = p.id AND t.cause = 'forced_correction'
              AND t.evidence ->> 'after_close' = 'true') late ON true
     WHERE c.id = ANY(CAST(:ids AS uuid[]))
    """
)
# Entries are read as plain rows, so that malformed ones have a digest too. An entry's hash covers
# its postings.
_ENTRIES = text(
    """
    SELECT cycle_id, id, source_key, payload_hash FROM ledger.entries
     WHERE cycle_id = ANY(CAST(:ids AS uuid[])) ORDER BY id
    """
)
_INSTANTS = ("period_start", "period_end")


def cycle_digests(conn: Connection, cycle_ids: Sequence[UUID]) -> dict[UUID, str]:
    """Return the digest of each cycle as its rows and journal entries stand now (hex SHA-256)."""
    entries: dict[UUID, list[list[Any]]] = {cycle_id: [] for cycle_id in cycle_ids}
    for row in conn.execute(_ENTRIES, {"ids": list(cycle_ids)}):
        entries[row.cycle_id].append([row.id, row.source_key, bytes(row.payload_hash).hex()])
    rows = conn.execute(_ROWS, {"ids": list(cycle_ids)})
    return {row.id: _digest(dict(row._mapping), entries[row.id]) for row in rows}


def _digest(row: Mapping[str, Any], entries: Sequence[Sequence[Any]]) -> str:
    facts = {name: value.isoformat() if name in _INSTANTS else value for name, value in row.items()}
    canonical = json.dumps(
        {"cycle": facts, "entries": entries}, sort_keys=True, separators=(",", ":"), default=str
    )
    return hashlib.sha256(canonical.encode()).hexdigest()
