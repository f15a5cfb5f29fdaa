"""Promise 7: decisions on taxes with what they follow from, read row by row and page by page."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from billing.plans.taxes import TaxRate, rate_from_terms
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
