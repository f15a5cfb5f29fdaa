"""Settlement for people: runs with their steps, breaks, exchanges."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, text

from billing.errors import ErrorCode, NotFound
from billing.store.rows import reader
from billing.store.settlement.breaks import Break, BreakNote
from billing.store.settlement.breaks import get as found_break
from billing.store.settlement.breaks import notes as break_notes
from billing.store.settlement.breaks import page as breaks
from billing.store.settlement.exchanges import RecordedExchange
from billing.store.settlement.exchanges import get as exchange
from billing.store.settlement.exchanges import page as exchanges
from billing.store.settlement.runs import SettlementRun, SettlementStep, find_run, runs, steps

__all__ = [
    "Break",
    "BreakLink",
    "BreakNote",
    "RecordedExchange",
    "SettlementRun",
    "SettlementStep",
    "break_notes",
    "breaks",
    "exchange",
    "exchanges",
    "found_break",
    "open_breaks_of_cycle",
    "run",
    "runs",
    "steps",
]


def run(conn: Connection, run_id: UUID) -> SettlementRun:
    """Return one settlement run. Raises `NotFound`."""
    found = find_run(conn, run_id)
    if found is None:
        raise NotFound(f"no run {run_id}", code=ErrorCode.RUN_NOT_FOUND)
    return found


@dataclass(frozen=True, slots=True)
class BreakLink:
    """An open break: its id and what to say of it."""

    id: UUID
    kind: str
    suggested_cause: str


_link = reader(BreakLink)

_OPEN_BREAKS = text(
    """
    SELECT b.id, b.kind, b.suggested_cause
      FROM breaks b
     WHERE b.resolved_at IS NULL
       AND (b.cycle_id = :cycle
            OR b.payment_id IN (SELECT p.id FROM payments p JOIN invoices i ON i.id = p.invoice_id
                                 WHERE i.cycle_id = :cycle))
     ORDER BY b.id
    """
)


def open_breaks_of_cycle(conn: Connection, cycle_id: UUID) -> list[BreakLink]:
    """Return the unresolved differences that hold a cycle open."""
    return [_link(row) for row in conn.execute(_OPEN_BREAKS, {"cycle": cycle_id})]
