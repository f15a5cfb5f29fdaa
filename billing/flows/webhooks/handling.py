"""Handling events: fetch the provider's object, and let its flow apply the present state.

    handle_due   per object: ask the provider, write effects and events in one transaction
    replay       the same for events that were handled before; it finds nothing to do

An event is a hint that something changed. Its content is never used: handling fetches the object
and applies its present state. So disorder, repetition and delay are harmless, and several events of
one object cost one request. An event that can't be handled is tried again, with growing pauses and
its last error in its row, until it can.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from billing import tracing
from billing.crash_points import CrashPoint, marked
from billing.errors import BillingError, ErrorCode, NotFound, first_line
from billing.flows.context import Context
from billing.flows.policy import CLOCK_TOLERANCE
from billing.flows.webhooks import money, payment_methods, payments
from billing.flows.webhooks.inbox import is_handled
from billing.flows.webhooks.results import Effects, EventWaits, Handled, ObjectEvents
from billing.gateway import EventKind
from billing.rules import backoff
from billing.store.access import events
from billing.store.access.events import Event

logger = logging.getLogger(__name__)

Handler = Callable[[Context, ObjectEvents], Effects]

HANDLERS: Final[Mapping[EventKind, Handler]] = {
    EventKind.PAYMENT_SUCCEEDED: payments.payment,
    EventKind.PAYMENT_FAILED: payments.payment,
    EventKind.PAYMENT_CANCELED: payments.payment,
    EventKind.PAYMENT_AUTHORIZED: payments.payment,
    EventKind.CHARGE_REFUNDED: money.refunds_of_charge,
    EventKind.REFUND_UPDATED: money.refund,
    EventKind.DISPUTE_OPENED: money.dispute,
    EventKind.DISPUTE_UPDATED: money.dispute,
    EventKind.DISPUTE_CLOSED: money.dispute,
    EventKind.PAYOUT_UPDATED: money.payout,
    EventKind.PAYOUT_PAID: money.payout,
    EventKind.PAYOUT_FAILED: money.payout,
    EventKind.PAYMENT_METHOD_ATTACHED: payment_methods.payment_method,
    EventKind.PAYMENT_METHOD_UPDATED: payment_methods.payment_method,
    EventKind.PAYMENT_METHOD_DETACHED: payment_methods.payment_method,
    EventKind.CUSTOMER_UPDATED: payment_methods.customer,
}
"""Every kind but `OTHER` has a handler."""

FIRST_PAUSE: Final = timedelta(seconds=2)
LONGEST_PAUSE: Final = timedelta(hours=1)
BATCH: Final = 25


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one object's events: `handled`, or the error with which they wait."""

    events: ObjectEvents
    handled: Handled | None = None
    error: str | None = None

    @property
    def failed(self) -> bool:
        """Tell whether the events have to be tried again."""
        return self.handled is None


def handle_due(context: Context, *, limit: int = BATCH) -> list[Result]:
    """Handle up to `limit` events that are due, object by object; one that fails stops no other."""
    context = context.at_one_instant()
    wall = context.clock.wall()
    until = wall + context.policy.reconciler_lease  # then their process is considered dead
    held_until = max(until, wall + LONGEST_PAUSE) + CLOCK_TOLERANCE
    with marked(CrashPoint.EVENTS_CLAIMED), context.engine.begin() as conn:
        rows = events.claim_due(conn, wall=wall, until=until, held_until=held_until, limit=limit)
    return [_handle(context, handler, each) for handler, each in _by_object(rows)]


def _by_object(rows: Iterable[Event]) -> list[tuple[Handler, ObjectEvents]]:
    """Put the events of each object together, in the order of the first of each."""
    groups: dict[tuple[Handler, str, str], list[Event]] = {}
    for row in rows:
        groups.setdefault((HANDLERS[row.kind], row.provider, row.object_id), []).append(row)
    return [
        (
            handler,
            ObjectEvents(
                provider=provider,
                object_id=object_id,
                event_ids=tuple(row.event_id for row in group),
                kinds=frozenset(row.kind for row in group),
                types=frozenset(row.type for row in group),
                at=max(row.created for row in group),
                tries=max(row.tries for row in group),
            ),
        )
        for (handler, provider, object_id), group in groups.items()
    ]


def _handle(context: Context, handler: Handler, each: ObjectEvents) -> Result:
    with tracing.span(
        "handle webhook",
        provider=each.provider,
        object=each.object_id,
        events=" ".join(each.event_ids),
        kinds=" ".join(sorted(each.kinds)),
    ) as span:
        result = _handled(context, handler, each)
        span.set(outcome="failed" if result.handled is None else result.handled.outcome)
    return result


def _handled(context: Context, handler: Handler, each: ObjectEvents) -> Result:
    context = context.at_provider(each.provider)
    try:
        effects = handler(context, each)
        with marked(CrashPoint.EVENTS_HANDLED), context.engine.begin() as conn:
            handled = effects(conn)
            events.handled(
                conn,
                each.provider,
                each.event_ids,
                wall=context.clock.wall(),
                handling=handled.outcome,
                facts=handled.facts,
            )
    except EventWaits as reason:
        return _put_off(context, each, str(reason))
    except BillingError as error:
        return _put_off(context, each, error.what)
    except Exception as error:  # an event that can't be handled must stop no other one
        logger.exception("%s could not be handled", " ".join(each.event_ids))
        return _put_off(context, each, f"{type(error).__name__}: {first_line(error)}")
    return Result(each, handled)


def _put_off(context: Context, each: ObjectEvents, why: str) -> Result:
    pause = backoff.pause(each.tries, first=FIRST_PAUSE, longest=LONGEST_PAUSE)
    with marked(CrashPoint.EVENTS_PUT_OFF), context.engine.begin() as conn:
        again_at = context.clock.wall() + pause
        events.failed(conn, each.provider, each.event_ids, error=why[:500], again_at=again_at)
    return Result(each, error=why)


# --- replay -------------------------------------------------------------------------------------


def replay(context: Context, event_ids: Sequence[str]) -> list[Result]:
    """Handle events again, whether they were handled before or not. Raises `NotFound`.

    Handling applies the objects' present state, so this changes something only where an update was
    missed.
    """
    context = context.at_one_instant()
    with context.engine.connect() as conn:
        rows = events.some(conn, event_ids)
    missing = set(event_ids) - {row.event_id for row in rows}
    if missing:
        raise NotFound(
            f"no event {', '.join(sorted(missing))} is kept here",
            code=ErrorCode.EVENT_NOT_FOUND,
        )
    return [_handle(context, handler, each) for handler, each in _by_object(handled_ones(rows))]


def handled_ones(rows: Iterable[Event]) -> list[Event]:
    """Return the events of a kind that is handled."""
    return [row for row in rows if is_handled(row.kind, row.object_id)]
