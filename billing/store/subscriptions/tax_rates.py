"""Published rates of taxes: of each, the last row holds."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

from billing.plans.taxes import TaxRate, rate_from_terms
from billing.store.bulk import bulk_insert
from billing.store.tables import tax_rates

_PUBLISHED: Final = text(
    """
    SELECT DISTINCT ON (country, region, tax_class, name, since)
           country, region, tax_class, name, since, n, terms
      FROM tax_rates ORDER BY country, region, tax_class, name, since, n DESC
    """
)


def published(conn: Connection) -> tuple[TaxRate, ...]:
    """Return every rate as it holds."""
    return tuple(rate for rate, _ in _numbered(conn))


def rows(conn: Connection) -> int:
    """Return how many rows of rates there are, corrections included."""
    return int(conn.execute(text("SELECT count(*) FROM tax_rates")).scalar_one())


def publish(conn: Connection, rates: Sequence[TaxRate], now: datetime) -> None:
    """Publish rates, and correct those that differ; the caller knows which may be corrected."""
    known = {(*rate.of, rate.since): (rate, n) for rate, n in _numbered(conn)}
    rows = []
    for rate in rates:
        before, n = known.get((*rate.of, rate.since), (None, 0))
        if before != rate:
            rows.append(
                {
                    "country": rate.country,
                    "region": rate.region or "",
                    "tax_class": rate.tax_class,
                    "name": rate.name,
                    "since": rate.since,
                    "n": n + 1,
                    "terms": rate.to_terms(),
                    "published_at": now,
                }
            )
    bulk_insert(conn, tax_rates, rows)


def _numbered(conn: Connection) -> list[tuple[TaxRate, int]]:
    return [
        (
            rate_from_terms(
                row.country, row.region or None, row.tax_class, row.name, row.since, row.terms
            ),
            row.n,
        )
        for row in conn.execute(_PUBLISHED)
    ]
