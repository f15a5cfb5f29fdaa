"""Breaks: differences between our books and the provider's, each with both sides and a cause."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, select, update
from sqlalchemy.dialects.postgresql import insert

from billing.ids import new_id
from billing.store.tables import breaks


def record(
    conn: Connection,
    *,
    kind: str,
    dedupe_key: str,
    ours: Mapping[str, Any],
    provider: Mapping[str, Any],
    suggested_cause: str,
    now: datetime,
    cycle_id: UUID | None = None,
    payment_id: UUID | None = None,
) -> bool:
    """Write down a difference once; False when it is known already."""
    statement = insert(breaks).values(
        id=new_id(),
        kind=kind,
        dedupe_key=dedupe_key,
        cycle_id=cycle_id,
        payment_id=payment_id,
        ours=dict(ours),
        provider=dict(provider),
        suggested_cause=suggested_cause,
        found_at=now,
    )
    known = statement.on_conflict_do_nothing(index_elements=["dedupe_key"])
    return conn.execute(known.returning(breaks.c.id)).one_or_none() is not None


def resolve_by_key(conn: Connection, dedupe_key: str, *, now: datetime, resolution: str) -> bool:
    """Resolve an open break that turned out to be explained; False when there is none."""
    result = conn.execute(
        update(breaks)
        .where(breaks.c.dedupe_key == dedupe_key, breaks.c.resolved_at.is_(None))
        .values(resolved_at=now, resolution=resolution)
    )
    return result.rowcount == 1


def get(conn: Connection, break_id: UUID) -> Row[Any] | None:
    """Return one break."""
    return conn.execute(select(breaks).where(breaks.c.id == break_id)).one_or_none()


def page(
    conn: Connection,
    *,
    kind: str | None = None,
    include_resolved: bool = False,
    limit: int = 50,
    after: UUID | None = None,
) -> list[Row[Any]]:
    """Return up to `limit` breaks in the order they were found, after the id `after`."""
    query = select(breaks).order_by(breaks.c.id).limit(limit)
    if not include_resolved:
        query = query.where(breaks.c.resolved_at.is_(None))
    if kind is not None:
        query = query.where(breaks.c.kind == kind)
    if after is not None:
        query = query.where(breaks.c.id > after)
    return list(conn.execute(query))
