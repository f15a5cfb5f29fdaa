"""Promise 4: a closed cycle is one where our books, the invoice and the provider agree."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from billing.rules.promises import FindingKind
from billing.store.promises.check import check
from billing.store.rows import reader

_CLOSED_UNRESOLVED = check(
    FindingKind.CLOSED_UNRESOLVED,
    """
    SELECT c.subscription_id, c.n, i.number, i.status, p.state, p.confirmed_at, p.settled_at
      FROM cycles c
      JOIN invoices i ON i.cycle_id = c.id
      LEFT JOIN payments p ON p.invoice_id = i.id
     WHERE c.state = 'closed'
       AND (i.status = 'paid' AND (p.id IS NULL OR p.confirmed_at IS NOT NULL
                                                   AND p.settled_at IS NOT NULL)
            OR i.status IN ('void', 'uncollectible') AND p.state = 'FAILED') IS NOT TRUE""",
    "subscription_id, n",
)

_CLOSED_OWING = check(
    FindingKind.CLOSED_OWING,
    """
    SELECT c.subscription_id, c.n, l.currency, sum(l.amount) AS owed
      FROM cycles c
      JOIN ledger.entries e ON e.cycle_id = c.id
      JOIN ledger.postings l ON l.entry_id = e.id
      JOIN ledger.accounts a ON a.id = l.account_id AND a.code = 'receivable'
     WHERE c.state = 'closed'
     GROUP BY c.subscription_id, c.n, l.currency HAVING sum(l.amount) <> 0""",
    "subscription_id, n",
)

_CLOSED_UNDECIDED = check(
    FindingKind.CLOSED_UNDECIDED,
    """
    SELECT c.subscription_id, c.n, a.n AS attempt
      FROM attempts a
      JOIN payments p ON p.id = a.payment_id
      JOIN invoices i ON i.id = p.invoice_id
      JOIN cycles c ON c.id = i.cycle_id
     WHERE a.finished_at IS NULL AND c.state = 'closed'""",
    "subscription_id, n",
)

_OPEN_ON_CLOSED: Final = """
    SELECT c.subscription_id, c.n, b.id, b.kind, b.found_at, c.closed_at
      FROM breaks b
      LEFT JOIN payments p ON p.id = b.payment_id
      LEFT JOIN invoices i ON i.id = p.invoice_id
      JOIN cycles c ON c.id = coalesce(b.cycle_id, i.cycle_id)
     WHERE b.resolved_at IS NULL AND c.state = 'closed' AND {when}"""
_BY_CYCLE: Final = "subscription_id, n, id"

# A break that was open when its cycle was closed is the engine's fault; a later one is the
# provider's doing. A run finds breaks before it closes cycles, at one instant of domain time.
_CLOSED_WITH_BREAK = check(
    FindingKind.CLOSED_WITH_BREAK,
    _OPEN_ON_CLOSED.format(when="b.found_at <= c.closed_at"),
    _BY_CYCLE,
)
_DIFFERS_AFTER_CLOSING = check(
    FindingKind.DIFFERS_AFTER_CLOSING,
    _OPEN_ON_CLOSED.format(when="b.found_at > c.closed_at"),
    _BY_CYCLE,
)

CLOSED_AGREES: Final = (
    _CLOSED_UNRESOLVED,
    _CLOSED_OWING,
    _CLOSED_UNDECIDED,
    _CLOSED_WITH_BREAK,
    _DIFFERS_AFTER_CLOSING,
)

_OPEN_BREAKS = text(
    "SELECT kind, count(*) AS n FROM breaks WHERE resolved_at IS NULL GROUP BY kind ORDER BY kind"
)


def open_breaks(conn: Connection) -> dict[str, int]:
    """Count the unresolved breaks by kind."""
    return {f"breaks_open_{row.kind}": int(row.n) for row in conn.execute(_OPEN_BREAKS)}


_CLOSED = text(
    """
    SELECT c.id, c.subscription_id, c.n, c.digest, z.zone
      FROM cycles c LEFT JOIN digest_zones z ON z.cycle_id = c.id
     WHERE c.state = 'closed' AND c.id > :after ORDER BY c.id LIMIT :batch
    """
)


@dataclass(frozen=True, slots=True)
class ClosedCycle:
    """A closed cycle, with the digest it was closed with; `zone` is one other than UTC."""

    id: UUID
    subscription_id: UUID
    n: int
    digest: str
    zone: str | None


_closed = reader(ClosedCycle)


def closed_cycles(conn: Connection, batch: int) -> Iterator[Sequence[ClosedCycle]]:
    """Yield the closed cycles with the digests they were closed with, `batch` at a time."""
    after = UUID(int=0)
    while rows := conn.execute(_CLOSED, {"after": after, "batch": batch}).all():
        yield [_closed(row) for row in rows]
        after = rows[-1].id
