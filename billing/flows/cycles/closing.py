"""Closing cycles: resolved, receivable zero, confirmed by the provider; then immutable.

The receivable is read from the journal. The database refuses further entries for a closed cycle;
what comes later is booked without a cycle.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, Engine

from billing import tracing
from billing.crash_points import CrashPoint, marked
from billing.flows.cycles.digest import cycle_digests
from billing.rules.reconciliation import BreakFound, BreakKind
from billing.store.journal import reads
from billing.store.settlement import breaks
from billing.store.subscriptions import cycles


@dataclass(frozen=True, slots=True)
class Closed:
    """What one run did; `held_back` counts cycles that looked ready but whose receivable wasn't
    zero.
    """

    closed: int = 0
    held_back: int = 0


def run(engine: Engine, *, now: datetime, batch: int = 100) -> Closed:
    """Close every cycle that is ready, `batch` cycles a transaction.

    It may run twice at once and may be killed anywhere: a batch is closed as a whole or not at all.
    """
    with tracing.span("close cycles") as span:
        done = _close_all(engine, now, batch)
        span.set(closed=done.closed, held_back=done.held_back)
    return done


def _close_all(engine: Engine, now: datetime, batch: int) -> Closed:
    closed = held_back = 0
    after: UUID | None = None
    while True:
        with marked(CrashPoint.CYCLES_CLOSED), engine.begin() as conn:
            ids = cycles.closable(conn, now, batch, after)
            if not ids:
                return Closed(closed, held_back)
            done = close_batch(conn, ids, now)
        after = ids[-1]
        closed += done.closed
        held_back += done.held_back


def close_batch(conn: Connection, ids: Sequence[UUID], now: datetime) -> Closed:
    """Lock the cycles, look again under the lock, and close those that are still ready."""
    locked = cycles.lock_opened(conn, ids)
    ready = cycles.still_closable(conn, locked, now)
    owed = reads.cycle_receivables(conn, ready)
    settled = [cycle_id for cycle_id in ready if all(money.amount == 0 for money in owed[cycle_id])]
    for cycle_id in set(ready) - set(settled):
        found = BreakFound(
            kind=BreakKind.RECEIVABLE_OPEN,
            subject=cycle_id,
            ours={"receivable": [str(money) for money in owed[cycle_id]]},
            cycle_id=cycle_id,
        )
        breaks.record(conn, found, now=now)
    count = cycles.close(conn, cycle_digests(conn, settled), now)
    return Closed(closed=count, held_back=len(ready) - len(settled))
