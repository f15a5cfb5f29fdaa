"""Taxes that went back without a credit note, by tax of the invoice.

A refund, a lost dispute or a write-off takes parts of lines; the part that is tax is of the taxes
of that line, in proportion. It counts when the journal has it, and the other way when the journal
reverses it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final

from sqlalchemy import Connection, Row, text

from billing.plans.numbers import exact_text
from billing.pricing import DraftTax, Facts, draft
from billing.rules.money import split

REFUND: Final = "refund"
DISPUTE: Final = "dispute"
WRITE_OFF: Final = "write_off"


@dataclass(frozen=True, slots=True)
class LostTax:
    """What went back of one tax, in minor units: below zero where it was reversed.

    `kind` is that of the line's part: a refund, a dispute or a write-off.
    """

    jurisdiction: str
    name: str
    treatment: str
    rate: str
    currency: str
    kind: str
    base: int
    amount: int


_LOST: Final = text(
    """
    WITH lost AS (
      SELECT x.kind, x.invoice_id, x.line, x.recognised + x.deferred AS net, x.tax, e.effective_at,
             r.effective_at AS reversed_at
        FROM line_parts x
        JOIN ledger.entries e ON e.source_key = CASE x.kind
             WHEN 'refund' THEN 'refund_requested:' || x.source_id
             WHEN 'dispute' THEN 'dispute_lost:' || x.source_id || ':' || x.nth
             ELSE 'write_off:' || x.source_id || ':' || x.nth END
        LEFT JOIN ledger.entries r ON r.reverses_entry_id = e.id
       WHERE x.kind <> 'credit_note'
    )
    SELECT l.kind, l.line, v.sign * l.net AS net, v.sign * l.tax AS tax, i.currency,
           t.names, t.jurisdictions, t.treatments, t.rates,
           CASE WHEN cardinality(t.names) > 1 THEN i.facts END AS facts
      FROM lost l
      JOIN invoices i ON i.id = l.invoice_id
      JOIN LATERAL (
           SELECT array_agg(t.name ORDER BY t.n) AS names,
                  array_agg(t.jurisdiction ORDER BY t.n) AS jurisdictions,
                  array_agg(t.treatment ORDER BY t.n) AS treatments,
                  array_agg(t.rate ORDER BY t.n) AS rates
             FROM invoice_taxes t WHERE t.invoice_id = i.id) t ON t.names IS NOT NULL
     CROSS JOIN LATERAL (
           VALUES (1, l.effective_at), (-1, l.reversed_at)) AS v(sign, at)
     WHERE v.at IS NOT NULL
       AND (CAST(:since AS timestamptz) IS NULL OR v.at >= :since)
       AND (CAST(:until AS timestamptz) IS NULL OR v.at < :until)
     ORDER BY l.invoice_id, l.line, v.at
    """
)


def lost(conn: Connection, since: datetime | None, until: datetime | None) -> Iterator[LostTax]:
    """Yield what went back without a note over a time, `until` not included."""
    for row in conn.execute(_LOST, {"since": since, "until": until}):
        yield from _of_one(row) if row.facts is None else _of_several(row)


def _of_one(row: Row[object]) -> Iterator[LostTax]:
    place = (row.jurisdictions[0], row.names[0], row.treatments[0], row.rates[0], row.currency)
    yield LostTax(*place, row.kind, row.net, row.tax)


def _of_several(row: Row[object]) -> Iterator[LostTax]:
    """Yield the taxes that the line bears, each with its share of what went back."""
    bearing = [each for each in _taxes(row.facts) if row.line - 1 in each.lines]
    weights = [each.parts[row.line - 1] for each in bearing]
    shares: Sequence[int] = [0] * len(bearing)
    if row.tax:
        sign = 1 if row.tax > 0 else -1
        shares = [sign * each for each in split(abs(row.tax), weights)]
    for each, share in zip(bearing, shares, strict=True):
        place = (each.jurisdiction, each.name, each.treatment, exact_text(each.rate), row.currency)
        yield LostTax(*place, row.kind, row.net, share)


@lru_cache(maxsize=8)
def _taxes(facts: str) -> tuple[DraftTax, ...]:
    return draft(Facts.from_document(facts)).taxes
