"""The inbox: events of the provider, kept before they are acknowledged.

receive   commit an event before it is acknowledged; kinds that aren't handled are kept, too
sweep     read the provider's list of events, for those that never reached us; after a silence in
          which it forgot some, read refunds and disputes themselves
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Engine

from billing.crash_points import CrashPoint, marked
from billing.flows.breaks import unreadable
from billing.flows.webhooks.rereading import read_again
from billing.flows.webhooks.results import EventOutcome
from billing.gateway import EventKind, Gateway, ProviderEvent
from billing.gateway.objects import unreadable_in
from billing.rules.provider_names import task_of
from billing.store.access import events

logger = logging.getLogger(__name__)

# The provider lists an event a little after its instant, and two clocks differ.
OVERLAP: Final = timedelta(hours=1)
# The provider forgets events after 30 days.
RETENTION: Final = timedelta(days=30)
SWEEP: Final = "webhook_sweep"


def receive(
    engine: Engine, provider: str, received: Sequence[ProviderEvent], *, source: str, wall: datetime
) -> list[ProviderEvent]:
    """Keep events, due at once or ignored, and return the new ones.

    Commits before it returns: only then may the endpoint acknowledge a delivery.
    """
    by_id = {event.id: event for event in received}
    with marked(CrashPoint.EVENTS_RECEIVED), engine.begin() as conn:
        new = events.add(conn, [_row(provider, event, source, wall) for event in by_id.values()])
    return [event for event in by_id.values() if event.id in new]


def _row(provider: str, event: ProviderEvent, source: str, wall: datetime) -> dict[str, Any]:
    wanted = is_handled(event.kind, event.object_id)
    return {
        "provider": provider,
        "event_id": event.id,
        "type": event.type,
        "kind": str(event.kind),
        "object_id": event.object_id,
        "created": event.created,
        "received_at": wall,
        "source": source,
        "payload": dict(event.payload),
        "handled_at": None if wanted else wall,
        "handling": None if wanted else str(EventOutcome.IGNORED),
        "next_try_at": wall if wanted else None,
    }


def sweep_task(provider: str) -> str:
    """Return the name under which the sweep of an account is recorded as a task."""
    return task_of(SWEEP, provider)


def is_handled(kind: EventKind, object_id: str) -> bool:
    """Tell whether an event of that kind, about that object, is handled at all."""
    return kind is not EventKind.OTHER and bool(object_id)


@dataclass(frozen=True, slots=True)
class Swept:
    """The result of reading the provider's list; `new` counts events that never reached us."""

    listed: int
    new: tuple[ProviderEvent, ...]
    complete: bool


def sweep(
    engine: Engine,
    provider: str,
    gateway: Gateway,
    *,
    watermark: datetime | None,
    complete: bool,
    now: datetime,
    wall: datetime,
) -> Swept:
    """Keep the events since the watermark that never reached us.

    Normally reads events whose delivery failed; with `complete` all, which also finds events that
    were delivered to a former endpoint of ours, or lost with a database. May be repeated and may
    run twice at once; when a later page fails, the events of earlier pages stay. Raises
    `Unavailable`.
    """
    watermark = watermark or _beginning(engine, provider)
    if watermark is None:
        return Swept(0, (), complete)
    listed, new = 0, list[ProviderEvent]()
    if watermark < now - RETENTION:
        logger.warning(
            "no events were read since %s, and the provider has forgotten those older than %d days:"
            " refunds and disputes are read again",
            watermark,
            RETENTION.days,
        )
        since = watermark - OVERLAP
        again = read_again(engine, provider, gateway, since=since, now=now)
        listed, new = _keep(engine, provider, again, now, wall)
    begin = max(watermark - OVERLAP, now - RETENTION)
    pages = gateway.list_events(since=begin, undelivered_only=not complete)
    of_list, new_of_list = _keep(engine, provider, pages, now, wall)
    return Swept(listed + of_list, (*new, *new_of_list), complete)


def _keep(
    engine: Engine,
    provider: str,
    pages: Iterable[Sequence[ProviderEvent]],
    now: datetime,
    wall: datetime,
) -> tuple[int, list[ProviderEvent]]:
    """Keep each page; return how many events there were, and the new ones."""
    listed, new = 0, list[ProviderEvent]()
    for page in pages:
        if failed := unreadable_in(page):
            with marked(CrashPoint.UNREADABLE_EVENTS_RECORDED), engine.begin() as conn:
                unreadable.record(conn, provider, failed, now=now)
        listed += len(page)
        new += receive(engine, provider, page, source="sweep", wall=wall)
    return listed, new


def sweep_objects(
    engine: Engine,
    provider: str,
    gateway: Gateway,
    *,
    watermark: datetime | None,
    now: datetime,
    wall: datetime,
) -> Swept:
    """Read refunds and disputes again, where the provider lists no events. Raises `Unavailable`."""
    watermark = watermark or _beginning(engine, provider)
    if watermark is None:
        return Swept(0, (), complete=True)
    since = watermark - OVERLAP
    again = read_again(engine, provider, gateway, since=since, now=now)
    listed, new = _keep(engine, provider, again, now, wall)
    return Swept(listed, tuple(new), complete=True)


def _beginning(engine: Engine, provider: str) -> datetime | None:
    """Return the instant before which there is nothing to read, or None where there is nothing."""
    with engine.connect() as conn:
        return events.beginning(conn, provider)
