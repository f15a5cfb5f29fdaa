"""The facts that the digest of a cycle is computed from: its rows and its journal entries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from billing.store import bulk
from billing.store.tables import digest_zones


@dataclass(frozen=True, slots=True)
class DigestedEntry:
    """A journal entry of a cycle; `payload_hash` covers what the entry posted."""

    id: int
    source_key: str
    payload_hash: bytes


@dataclass(frozen=True, slots=True)
class DigestInput:
    """A cycle's facts by column name, as the digest spells them, and its entries in order."""

    id: UUID
    columns: Mapping[str, Any]
    entries: Sequence[DigestedEntry]


_ROWS = text(
    """
    SELECT c.id, c.subscription_id, c.n, c.kind, c.period_start, c.period_end, c.plan,
           c.plan_version, i.id AS invoice_id, i.number, i.currency, i.net, i.tax, i.total,
           coalesce(late.evidence ->> 'invoice_was', i.status) AS status, p.id AS payment_id,
           i.facts_digest, p.amount,
           CASE WHEN late.evidence IS NULL THEN p.amount_captured ELSE 0 END
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


def facts(conn: Connection, cycle_ids: Sequence[UUID]) -> list[DigestInput]:
    """Return the facts of each cycle as its rows and journal entries stand now."""
    params = {"ids": list(cycle_ids)}
    entries: dict[UUID, list[DigestedEntry]] = {cycle_id: [] for cycle_id in cycle_ids}
    for row in conn.execute(_ENTRIES, params):
        entries[row.cycle_id].append(DigestedEntry(row.id, row.source_key, bytes(row.payload_hash)))
    rows = conn.execute(_ROWS, params)
    return [DigestInput(row.id, dict(row._mapping), entries[row.id]) for row in rows]


def add_zones(conn: Connection, zones: Mapping[UUID, str], actor: str) -> None:
    """Write down in which zone the digest of each cycle was computed."""
    rows = [{"cycle_id": cycle, "zone": zone, "actor": actor} for cycle, zone in zones.items()]
    bulk.bulk_insert(conn, digest_zones, rows)
