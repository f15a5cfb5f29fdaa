"""Webhooks: what the provider tells us, kept, and then looked at as it is now.

    receive      the event is committed before it is acknowledged; unknown types are kept too
    sweep        the provider's list of events, for those that never reached us
    handle_due   per object: ask the provider, write effects and events in one transaction
    replay       the same for events that were handled before; it finds nothing to do

An event is a hint that something changed. What it says is never used: the object is fetched, and
its present state applied by the flow it belongs to. So disorder, repetition and delay are
harmless, and several events of one object cost one look. What can't be handled is tried again,
with growing pauses and its last error beside it, until it can.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Engine, Row

from billing.errors import BillingError, ErrorCode, NotFound, first_line
from billing.flows.webhooks import cards, money, payments
from billing.flows.webhooks.handler import Apply, Desk, Notice, NotYet
from billing.gateway import Gateway, ProviderEvent
from billing.rules import backoff
from billing.store.access import events

logger = logging.getLogger(__name__)

Handler = Callable[[Desk, Notice], Apply]

_FAMILIES: Final[Mapping[Handler, tuple[str, ...]]] = {
    payments.payment: (
        "payment_intent.succeeded",
        "payment_intent.payment_failed",
        "payment_intent.canceled",
        "payment_intent.amount_capturable_updated",
    ),
    money.refunds_of_charge: ("charge.refunded",),
    money.refund: (
        "refund.created",
        "refund.updated",
        "refund.failed",
        "charge.refund.updated",
    ),
    money.dispute: (
        "charge.dispute.created",
        "charge.dispute.updated",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.funds_reinstated",
        "charge.dispute.closed",
    ),
    money.payout: (
        "payout.created",
        "payout.updated",
        "payout.paid",
        "payout.failed",
        "payout.canceled",
        "payout.reconciliation_completed",
    ),
    cards.card: (
        "payment_method.attached",
        "payment_method.updated",
        "payment_method.automatically_updated",
        "payment_method.detached",
    ),
    cards.customer: ("customer.updated",),
}
HANDLERS: Final[Mapping[str, Handler]] = {
    kind: handler for handler, kinds in _FAMILIES.items() for kind in kinds
}
"""The types that are handled; any other is kept and marked as ignored."""

IGNORED: Final = "ignored"
FIRST_PAUSE: Final = timedelta(seconds=2)
LONGEST_PAUSE: Final = timedelta(hours=1)
BATCH: Final = 25
# The provider lists an event a little after its instant, and two clocks differ.
OVERLAP: Final = timedelta(hours=1)
# The provider forgets events after 30 days.
RETENTION: Final = timedelta(days=30)
SWEEP: Final = "webhook_sweep"


# --- hearing of events --------------------------------------------------------------------------


def receive(
    engine: Engine, heard: Sequence[ProviderEvent], *, source: str, wall: datetime
) -> list[ProviderEvent]:
    """Keep events, due at once or ignored, and return those that are new to us.

    Committed when it returns: only then may a delivery be acknowledged.
    """
    by_id = {event.id: event for event in heard}
    with engine.begin() as conn:
        new = events.add(conn, [_row(event, source, wall) for event in by_id.values()])
    return [event for event in by_id.values() if event.id in new]


def _row(event: ProviderEvent, source: str, wall: datetime) -> dict[str, Any]:
    wanted = event.type in HANDLERS and bool(event.object_id)
    return {
        "event_id": event.id,
        "type": event.type,
        "object_id": event.object_id,
        "created": event.created,
        "received_at": wall,
        "source": source,
        "payload": dict(event.payload),
        "handled_at": None if wanted else wall,
        "handling": None if wanted else IGNORED,
        "next_try_at": wall if wanted else None,
    }


@dataclass(frozen=True, slots=True)
class Swept:
    """What reading the provider's list brought; `new` are those that never reached us."""

    listed: int
    new: tuple[ProviderEvent, ...]
    complete: bool


def sweep(
    engine: Engine,
    gateway: Gateway,
    *,
    watermark: datetime | None,
    complete: bool,
    now: datetime,
    wall: datetime,
) -> Swept:
    """Keep the events since the watermark that never reached us.

    Normally those whose delivery failed; with `complete` all, which also finds what was taken by
    an endpoint that isn't ours any more, or lost with a database. May be repeated and may run
    twice at once; what was kept stays when a later page fails. Raises `Unavailable`.
    """
    begin = _begin(engine, watermark, now)
    if begin is None:
        return Swept(0, (), complete)
    listed, new = 0, []
    for page in gateway.list_events(since=begin, undelivered_only=not complete):
        listed += len(page)
        new += receive(engine, page, source="sweep", wall=wall)
    return Swept(listed, tuple(new), complete)


def _begin(engine: Engine, watermark: datetime | None, now: datetime) -> datetime | None:
    """Return where to read from, or None where there is nothing to hear of yet."""
    if watermark is None:
        with engine.connect() as conn:
            watermark = events.beginning(conn)
    if watermark is None:
        return None
    if watermark < now - RETENTION:
        logger.warning(
            "no events were read since %s: the provider has forgotten those older than %d days",
            watermark,
            RETENTION.days,
        )
    return max(watermark - OVERLAP, now - RETENTION)


# --- handling them ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Result:
    """What came of the events of one object: in words, or why it has to be tried again."""

    notice: Notice
    words: str
    failed: bool = False


def handle_due(desk: Desk, *, limit: int = BATCH) -> list[Result]:
    """Handle up to `limit` events that are due, object by object; one that fails stops no other."""
    with desk.engine.begin() as conn:
        until = desk.wall + desk.policy.reconciler_lease  # then its worker is taken for dead
        rows = events.claim_due(conn, wall=desk.wall, until=until, limit=limit)
    return [_handle(desk, handler, notice) for handler, notice in _by_object(rows)]


def _by_object(rows: Iterable[Row[Any]]) -> list[tuple[Handler, Notice]]:
    """Put the events of each object together, in the order of the first of each."""
    groups: dict[tuple[Handler, str], list[Row[Any]]] = {}
    for row in rows:
        groups.setdefault((HANDLERS[row.type], row.object_id), []).append(row)
    return [
        (
            handler,
            Notice(
                object_id=object_id,
                event_ids=tuple(row.event_id for row in group),
                types=frozenset(row.type for row in group),
                at=max(row.created for row in group),
                tries=max(row.tries for row in group),
            ),
        )
        for (handler, object_id), group in groups.items()
    ]


def _handle(desk: Desk, handler: Handler, notice: Notice) -> Result:
    try:
        apply = handler(desk, notice)
        with desk.engine.begin() as conn:
            words = apply(conn)
            events.handled(conn, notice.event_ids, wall=desk.wall, words=words)
    except NotYet as reason:
        return _put_off(desk, notice, str(reason))
    except BillingError as error:
        return _put_off(desk, notice, error.what)
    except Exception as error:  # an event that nobody can handle must stop no other one
        logger.exception("%s could not be handled", " ".join(notice.event_ids))
        return _put_off(desk, notice, f"{type(error).__name__}: {first_line(error)}")
    return Result(notice, words)


def _put_off(desk: Desk, notice: Notice, why: str) -> Result:
    pause = backoff.pause(notice.tries, first=FIRST_PAUSE, longest=LONGEST_PAUSE)
    with desk.engine.begin() as conn:
        events.failed(conn, notice.event_ids, error=why[:500], again_at=desk.wall + pause)
    return Result(notice, why, failed=True)


# --- by hand ------------------------------------------------------------------------------------


def replay(desk: Desk, event_ids: Sequence[str]) -> list[Result]:
    """Handle events again, whether they were handled before or not. Raises `NotFound`.

    As their objects are taken as they are now, this changes something only where something was
    missed.
    """
    with desk.engine.connect() as conn:
        rows = events.some(conn, event_ids)
    missing = set(event_ids) - {row.event_id for row in rows}
    if missing:
        raise NotFound(
            f"no event {', '.join(sorted(missing))} is kept here",
            code=ErrorCode.EVENT_NOT_FOUND,
        )
    return [_handle(desk, handler, notice) for handler, notice in _by_object(known(rows))]


def known(rows: Iterable[Row[Any]]) -> list[Row[Any]]:
    """Return the events of a type that is handled."""
    return [row for row in rows if row.type in HANDLERS and row.object_id]
