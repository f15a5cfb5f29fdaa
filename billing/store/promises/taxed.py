"""Promise 7: decisions on taxes, read row by row."""

from collections.abc import Iterator
from typing import Final

from sqlalchemy import Connection, text

from billing.store.rows import reader
from billing.tax import TaxDecision

_DECISIONS: Final = text("SELECT * FROM tax_decisions ORDER BY id")
_decision_of = reader(TaxDecision)


def decisions(conn: Connection, batch: int) -> Iterator[TaxDecision]:
    """Yield each decision, through a cursor of the server."""
    options = {"stream_results": True, "yield_per": batch}
    with conn.execute(_DECISIONS, execution_options=options) as rows:
        yield from map(_decision_of, rows)
