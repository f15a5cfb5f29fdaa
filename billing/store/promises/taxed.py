"""Promise 7: decisions on taxes with what they follow from, read row by row and page by page.

What a provider computed is recorded there, too: each invoice, and what was taken back of it.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from billing.plans.taxes import TaxRate, rate_from_terms
from billing.rules.promises import FindingKind
from billing.store.promises.check import check
from billing.store.rows import reader
from billing.tax import TaxDecision


@dataclass(frozen=True, slots=True)
class DecidedInvoice:
    """An invoice with the request of its decision."""

    id: UUID
    number: str
    customer_id: UUID
    issued_at: datetime
    request: str


_DECISIONS: Final = text(
    """
    SELECT id, provider, request, request_digest, response, at, valid_until, provider_ref
      FROM tax_decisions ORDER BY id
    """
)
_INVOICES: Final = text(
    """
    SELECT i.id, i.number, i.customer_id, i.issued_at, d.request
      FROM invoices i
      JOIN invoice_taxes x ON x.invoice_id = i.id AND x.n = 1
      JOIN tax_decisions d ON d.id = x.decision_id
     WHERE i.id > :after ORDER BY i.id LIMIT :limit
    """
)
_RATES: Final = text(
    """
    SELECT country, region, tax_class, name, since, n, terms, published_at
      FROM tax_rates ORDER BY country, region, tax_class, name, since, n
    """
)
_AGAINST_CALL: Final = check(
    FindingKind.DECISION_AGAINST_CALL,
    """
    SELECT d.id, d.provider_ref, c.provider_ref AS answered, i.number
      FROM (SELECT * FROM tax_decisions WHERE provider = 'external') d
      FULL JOIN (SELECT * FROM tax_calls WHERE kind = 'calculation' AND state = 'answered') c
        ON c.decision_id = d.id
      LEFT JOIN LATERAL (
           SELECT i.id, i.number FROM invoice_taxes x JOIN invoices i ON i.id = x.invoice_id
            WHERE x.decision_id = d.id ORDER BY i.id LIMIT 1) i ON true
     WHERE d.id IS NULL OR c.id IS NULL OR d.request <> c.request
        OR d.provider_ref IS DISTINCT FROM c.provider_ref
        OR i.id IS NOT NULL AND i.id IS DISTINCT FROM c.invoice_id""",
    "id, answered",
)

# Each cause once: the invoice, its being voided, and each of its credit notes. What is recorded is
# of the invoice's customer and account, has a reference of its own, and comes to the taxes of its
# cause.
_NOT_RECORDED: Final = check(
    FindingKind.TAXES_NOT_RECORDED,
    """
    SELECT w.number, w.what, coalesce(c.state, 'missing') AS state
      FROM (SELECT b.*, b.id AS before, i.number, 'record' AS what, NULL::uuid AS of_note,
                   b.invoice_id::text AS named, b.provider_ref AS asked, NULL::bigint AS tax
              FROM tax_calls b JOIN invoices i ON i.id = b.invoice_id
             WHERE b.kind = 'calculation'
            UNION ALL
            SELECT r.*, r.id, i.number, 'void', NULL, r.invoice_id || chr(58) || 'void',
                   '{"currency":"' || i.currency || '","lines":[]}', NULL
              FROM tax_calls r JOIN invoices i ON i.id = r.invoice_id AND i.status = 'void'
             WHERE r.kind = 'record'
            UNION ALL
            SELECT r.*, r.id, n.number, 'note', n.id, n.id::text, NULL, n.tax
              FROM tax_calls r JOIN credit_notes n ON n.invoice_id = r.invoice_id
             WHERE r.kind = 'record') w
      JOIN invoices i ON i.id = w.invoice_id
      LEFT JOIN tax_calls c ON c.follows_id = w.before AND c.note_id IS NOT DISTINCT FROM w.of_note
       AND c.kind = CASE w.what WHEN 'record' THEN 'record' ELSE 'reversal' END
       AND c.invoice_id = w.invoice_id
     WHERE coalesce(c.state, 'missing') NOT IN ('open', 'answered')
        OR w.asked <> c.request OR c.reference <> w.named OR c.provider <> w.provider
        OR (w.customer_id, c.customer_id) <> (i.customer_id, i.customer_id)
        OR w.subscription_id IS DISTINCT FROM i.subscription_id
        OR c.subscription_id IS DISTINCT FROM i.subscription_id
        OR w.tax <> (SELECT coalesce(sum(CAST(l[1] AS bigint)), 0)
                       FROM regexp_matches(c.request, '\\["[0-9]+",[0-9]+,([0-9]+)\\]', 'g') l)""",
    "number, what",
)

TAXED: Final = (_AGAINST_CALL, _NOT_RECORDED)

_decision_of = reader(TaxDecision)
_invoice_of = reader(DecidedInvoice)
_FIRST: Final = UUID(int=0)


def decisions(conn: Connection, batch: int) -> Iterator[tuple[TaxDecision, datetime]]:
    """Yield each decision and when it was made, through a cursor of the server."""
    options = {"stream_results": True, "yield_per": batch}
    with conn.execute(_DECISIONS, execution_options=options) as rows:
        for row in rows:
            yield _decision_of(row), row.at


def invoices(conn: Connection, batch: int) -> Iterator[Sequence[DecidedInvoice]]:
    """Yield the invoices that name a decision, a page at a time."""
    after = _FIRST
    while page := [
        _invoice_of(row) for row in conn.execute(_INVOICES, {"after": after, "limit": batch})
    ]:
        yield page
        after = page[-1].id


def rates(conn: Connection) -> Sequence[tuple[TaxRate, datetime]]:
    """Return every row of a rate and when it was published, later ones of one rate after it.

    Rows that can't be read are left out: then what was decided by them doesn't follow.
    """
    found = []
    for row in conn.execute(_RATES):
        place = (row.country, row.region or None, row.tax_class, row.name, row.since)
        with suppress(KeyError, ValueError, TypeError):
            found.append((rate_from_terms(*place, row.terms), row.published_at))
    return found
