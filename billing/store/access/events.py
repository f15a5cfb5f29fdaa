"""The inbox: events of the provider, committed before they are acknowledged.

`next_try_at` and `received_at` are real time, because the provider retries in real time; `created`
is the provider's own, which is domain time. A row is due until it is handled. Rows are never
deleted; a row that failed has its last error.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from json import dumps
from typing import Any, Final

from sqlalchemy import Connection, select, text

from billing.rules.provider_events import EventKind
from billing.store.arrays import literal
from billing.store.rows import reader
from billing.store.tables import provider_events


@dataclass(frozen=True, slots=True)
class Event:
    """One event as stored; `type` is the provider's own word, `kind` is what decides.

    `handling` is the code of its result, with the facts beside it; older rows hold a sentence.
    """

    provider: str
    event_id: str
    type: str
    kind: EventKind
    object_id: str
    created: datetime
    received_at: datetime
    source: str
    payload: Mapping[str, Any]
    handled_at: datetime | None
    handling: str | None
    facts: Mapping[str, Any]
    tries: int
    last_error: str | None
    next_try_at: datetime | None


_read = reader(Event)


_COLUMNS: Final = (
    "provider", "event_id", "type", "kind", "object_id", "created", "received_at", "source",
    "payload", "handled_at", "handling", "next_try_at",
)  # fmt: skip
_ADD = text(
    """
    INSERT INTO provider_events (provider, event_id, type, kind, object_id, created, received_at,
                                 source, payload, handled_at, handling, next_try_at)
    SELECT x.provider, x.event_id, x.type, x.kind, x.object_id, x.created, x.received_at, x.source,
           CAST(x.payload AS jsonb), x.handled_at, x.handling, x.next_try_at
      FROM unnest(CAST(:provider AS text[]), CAST(:event_id AS text[]),
                  CAST(:type AS text[]), CAST(:kind AS text[]), CAST(:object_id AS text[]),
                  CAST(:created AS timestamptz[]), CAST(:received_at AS timestamptz[]),
                  CAST(:source AS text[]),
                  CAST(:payload AS text[]), CAST(:handled_at AS timestamptz[]),
                  CAST(:handling AS text[]), CAST(:next_try_at AS timestamptz[]))
             AS x(provider, event_id, type, kind, object_id, created, received_at, source, payload,
                  handled_at, handling, next_try_at)
    ON CONFLICT (provider, event_id) DO NOTHING
    RETURNING event_id
    """
)


def add(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> set[str]:
    """Keep events and return the ids of those that weren't there."""
    if not rows:
        return set()
    # Sorted, so that two processes that insert the same events can't deadlock.
    rows = sorted(rows, key=lambda row: str(row["event_id"]))
    values = {
        name: literal([dumps(row[name]) if name == "payload" else row[name] for row in rows])
        for name in _COLUMNS
    }
    return {row.event_id for row in conn.execute(_ADD, values)}


# --- handling -----------------------------------------------------------------------------------

CLAIM_DUE = text(
    """
    UPDATE provider_events SET next_try_at = :until, tries = tries + 1
     WHERE (provider, event_id) IN (
           SELECT provider, event_id FROM provider_events
            WHERE next_try_at IS NOT NULL
              AND (next_try_at <= :wall OR next_try_at > CAST(:held_until AS timestamptz))
              AND provider <> ALL (ARRAY(SELECT f.provider FROM provider_fences f
                                          WHERE f.state = 'recovering'))
            ORDER BY next_try_at
            LIMIT :limit
              FOR UPDATE SKIP LOCKED)
    RETURNING *
    """
)


def claim_due(
    conn: Connection,
    *,
    wall: datetime,
    until: datetime,
    limit: int,
    held_until: datetime | None = None,
) -> list[Event]:
    """Take up to `limit` due rows until `until` and return them, oldest event first.

    If they aren't handled by then, because a process died, they are due again. One that is held
    beyond `held_until` was held by a wrong clock, and is due. Events of an account that is
    recovering wait: they may be about what this database has yet to adopt.
    """
    values = {"wall": wall, "until": until, "held_until": held_until, "limit": limit}
    rows = map(_read, conn.execute(CLAIM_DUE, values))
    return sorted(rows, key=lambda row: (row.created, row.event_id))


_HANDLED = text(
    """
    UPDATE provider_events
       SET handled_at = :wall, handling = :handling, facts = CAST(:facts AS jsonb),
           next_try_at = NULL, last_error = NULL
     WHERE provider = :provider AND event_id = ANY(CAST(:ids AS text[]))
    """
)
_FAILED = text(
    """
    UPDATE provider_events SET last_error = :error, next_try_at = :again_at
     WHERE provider = :provider AND event_id = ANY(CAST(:ids AS text[])) AND handled_at IS NULL
    """
)


def handled(
    conn: Connection,
    provider: str,
    event_ids: Sequence[str],
    *,
    wall: datetime,
    handling: str,
    facts: Mapping[str, Any],
) -> None:
    """Write the result of events, in the transaction that has their effects."""
    values = {"wall": wall, "handling": str(handling), "facts": dumps(dict(facts))}
    conn.execute(_HANDLED, {"provider": provider, "ids": literal(event_ids), **values})


def failed(
    conn: Connection, provider: str, event_ids: Sequence[str], *, error: str, again_at: datetime
) -> None:
    """Write down why events could not be handled; one that was handled before stays so."""
    values = {"provider": provider, "ids": literal(event_ids)}
    conn.execute(_FAILED, {**values, "error": error, "again_at": again_at})


# --- reading ------------------------------------------------------------------------------------


def some(conn: Connection, event_ids: Sequence[str]) -> list[Event]:
    """Return events by their ids, oldest first."""
    query = select(provider_events).where(provider_events.c.event_id.in_(event_ids))
    ordered = query.order_by(provider_events.c.created, provider_events.c.event_id)
    return [_read(row) for row in conn.execute(ordered)]


def page(
    conn: Connection,
    *,
    kind: EventKind | None = None,
    type_: str | None = None,
    object_id: str | None = None,
    unhandled: bool = False,
    since: datetime | None = None,
    after: str | None = None,
    limit: int = 50,
) -> list[Event]:
    """Return up to `limit` events, oldest first, after the event `after`."""
    order = (provider_events.c.created, provider_events.c.event_id)
    query = select(provider_events).order_by(*order).limit(limit)
    equal = {"kind": kind, "type": type_, "object_id": object_id}
    for name, value in equal.items():
        if value is not None:
            query = query.where(provider_events.c[name] == value)
    if unhandled:
        query = query.where(provider_events.c.next_try_at.is_not(None))
    if since is not None:
        query = query.where(provider_events.c.created >= since)
    if after is not None:
        last = some(conn, [after])
        if last:
            query = query.where(_later_than(last[0]))
    return [_read(row) for row in conn.execute(query)]


def _later_than(row: Event) -> Any:
    created, event_id = provider_events.c.created, provider_events.c.event_id
    return (created > row.created) | ((created == row.created) & (event_id > row.event_id))


def received_since(conn: Connection, at: datetime) -> list[Event]:
    """Return every event that was kept at `at` or later, in the order of arrival."""
    query = select(provider_events).where(provider_events.c.received_at >= at)
    ordered = query.order_by(provider_events.c.received_at, provider_events.c.event_id)
    return [_read(row) for row in conn.execute(ordered)]


def since(conn: Connection, at: datetime, *, batch: int = 500) -> Iterator[list[Event]]:
    """Yield every event that happened at `at` or later, `batch` at a time."""
    after: str | None = None
    while rows := page(conn, since=at, after=after, limit=batch):
        yield rows
        after = rows[-1].event_id


_BEGINNING = text(
    "SELECT min(created_at) FROM provider_customers"
    " WHERE provider = :provider AND provider_customer_id IS NOT NULL"
)


def beginning(conn: Connection, provider: str) -> datetime | None:
    """Return when an account's first customer was made; no earlier event is about one of ours."""
    return conn.execute(_BEGINNING, {"provider": provider}).scalar()
