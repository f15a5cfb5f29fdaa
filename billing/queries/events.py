"""The inbox of events, for people."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from sqlalchemy import Connection

from billing.store.access.events import Event, page, received_since, since, some

__all__ = ["Event", "EventChange", "Listener", "page", "since", "some"]

# A row is stamped before it is committed, by the clock of the machine that it came to.
OVERLAP: Final = timedelta(seconds=15)

State = Literal["received", "handled", "failed"]
_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class EventChange:
    """What became of an event: it was received or handled, or waits for another reason."""

    state: State
    event: Event


class Listener:
    """Tells what becomes of the events that are received from now on, each change once."""

    def __init__(self, conn: Connection, wall: datetime) -> None:
        self._since = wall
        self._known = {_key(row): row.received_at for row in received_since(conn, wall - OVERLAP)}
        self._waiting: dict[_Key, Event] = {}

    def poll(self, conn: Connection, wall: datetime) -> list[EventChange]:
        """Return what happened since the last time, in order; `wall` is when this one began."""
        changed = list(self._changes(conn))
        return changed + self._arrivals(conn, wall)

    def _arrivals(self, conn: Connection, wall: datetime) -> list[EventChange]:
        rows = [
            row
            for row in received_since(conn, self._since - OVERLAP)
            if _key(row) not in self._known
        ]
        self._since = wall
        self._known = {
            key: at for key, at in self._known.items() if at >= self._since - 2 * OVERLAP
        } | {_key(row): row.received_at for row in rows}
        self._waiting |= {_key(row): row for row in rows if row.handled_at is None}
        return [EventChange("received", row) for row in rows]

    def _changes(self, conn: Connection) -> Sequence[EventChange]:
        if not self._waiting:
            return []
        changes: list[EventChange] = []
        for row in some(conn, [event_id for _, event_id in self._waiting]):
            before = self._waiting.get(_key(row))
            if before is None:
                continue
            if row.handled_at is not None:
                del self._waiting[_key(row)]
                changes.append(EventChange("handled", row))
            elif row.last_error not in (None, before.last_error):
                self._waiting[_key(row)] = row
                changes.append(EventChange("failed", row))
        return changes


def _key(row: Event) -> _Key:
    return row.provider, row.event_id
