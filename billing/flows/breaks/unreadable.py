"""Objects that can't be read: each is a break of its own, and stops nothing else."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.gateway.objects import Unreadable
from billing.rules.reconciliation import BreakFound, BreakKind
from billing.store.settlement import breaks


def record(
    conn: Connection,
    provider: str,
    objects: Iterable[Unreadable],
    *,
    now: datetime,
    run_id: UUID | None = None,
) -> int:
    """Record what could not be read, each object once; return how many are new."""
    found = [
        BreakFound(
            kind=BreakKind.UNREADABLE_OBJECT,
            subject=each.id,
            theirs={
                "object": each.type,
                "id": each.id,
                "problem": each.problem,
                "shown": each.shown,
            },
            provider=provider,
            run_id=run_id,
        )
        for each in objects
    ]
    return breaks.record_all(conn, found, now=now)
