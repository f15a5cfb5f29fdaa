"""A check of stored promises: one query over all rows, whose every row is a finding."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection

from billing.rules.promises import Finding, FindingKind
from billing.store.findings import FindingQuery, found

# States of a payment whose money was captured.
PAID_STATES: Final = "('CAPTURED', 'SETTLED', 'REFUNDED')"

# A condition on an entry `e`: no entry reverses it.
STANDS: Final = "NOT EXISTS (SELECT FROM ledger.entries r WHERE r.reverses_entry_id = e.id)"


@dataclass(frozen=True, slots=True)
class Check:
    """A query whose every row is a finding of this kind; its columns are the facts."""

    kind: FindingKind
    query: FindingQuery

    def run(self, conn: Connection, params: Mapping[str, Any]) -> Iterator[Finding]:
        """Yield the first findings, and then how many more there are."""
        for facts, more in found(conn, self.query, params):
            yield Finding(self.kind, facts, more)


def check(kind: FindingKind, select: str, order: str) -> Check:
    """Return the check that finds the rows of `select`, in this order."""
    return Check(kind, FindingQuery(select, order))
