"""The scheduler daemon: open due cycles and enqueue due payments and refunds, every tick.

Several may run, on many machines: rows are locked with SKIP LOCKED, so they share the work
and never do it twice. A tick that fails is repeated; what it did not commit is still due.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

import redis

from billing import tracing
from billing.errors import first_line
from billing.flows import fence
from billing.flows.context import Context
from billing.flows.cycles import opening
from billing.flows.cycles.usage_alerts import UsageAlerts
from billing.flows.payments import collecting
from billing.flows.refunds import sending as refund_sending
from billing.flows.subscriptions import cheaper_usage
from billing.flows.taxes import sending as tax_sending
from billing.flows.usage import days as usage_days
from billing.workers.daemons.recorded import recorded
from billing.workers.daemons.ticking import Ticking
from billing.workers.runtime import lines
from billing.workers.runtime.broker import (
    CHARGE_ACTOR,
    REFUND_ACTOR,
    TAX_ACTOR,
    enqueue,
    queue_depth,
)
from billing.workers.runtime.metrics import ProcessMetrics
from billing.workers.runtime.runtime import Runtime

logger = logging.getLogger(__name__)

TASK = "renew"
ALERTS_EVERY = timedelta(minutes=1)
RECORD_EVERY_SECONDS = 1.0  # an idle tick writes nothing


@dataclass(frozen=True, slots=True)
class Tick:
    """What one tick did."""

    opened: int = 0
    parked: int = 0
    canceled: int = 0
    enqueued: int = 0


class Scheduler(Ticking):
    """One scheduler; `tick` does one round, `run` repeats it until asked to stop."""

    words = "tick failed"
    longest_pause_seconds = 10.0

    def __init__(self, runtime: Runtime, metrics: ProcessMetrics) -> None:
        super().__init__(runtime, metrics, runtime.settings.scheduler.tick)
        self._recorded_at = float("-inf")
        self._days_made_on: date | None = None
        self._alerts = UsageAlerts()
        self._alerts_at: datetime | None = None

    def tick(self) -> Tick:
        """Open every due cycle and enqueue every due payment and refund, batch by batch.

        Opening and enqueueing take turns, so that a large backlog is charged while it is opened.
        """
        with tracing.span("scheduler tick") as span, recorded(self._runtime, TASK) as run:
            started, now = time.monotonic(), self._runtime.clock.now()
            done = self._work(now)
            self._make_days(now)
            self._look_at_usage(now)
            span.set(opened=done.opened, parked=done.parked, enqueued=done.enqueued)
            if done != Tick() or started - self._recorded_at >= RECORD_EVERY_SECONDS:
                self._recorded_at, run.done_until = started, now
        self._metrics.ticked(self._runtime.clock.wall())
        return done

    def _work(self, now: datetime) -> Tick:
        runtime, clock = self._runtime, self._runtime.clock
        limit = runtime.settings.scheduler.batch
        opened = parked = canceled = enqueued = 0
        while not self._stopping.is_set():
            batch = self._open(now, limit)
            opening.check_clock(batch)
            sent = self._dispatch(limit)
            opened += batch.opened
            parked += batch.parked
            canceled += batch.canceled
            enqueued += sent
            self._tell(batch)
            self._metrics.ticked(clock.wall())
            if not batch.seen and not sent:
                break
        return Tick(opened, parked, canceled, enqueued)

    def _open(self, now: datetime, limit: int) -> opening.Opened:
        """Open due cycles; none of an account that has to be compared or recovered.

        What was billed after the moment that a restored database shows may be a period that is
        wholly over by now. The catch-up policy would skip it, and its charge would have no cycle.
        """
        runtime = self._runtime
        with tracing.span("open cycles") as span:
            batch = opening.open_due_cycles(
                runtime.engine,
                now=now,
                limit=limit,
                policy=runtime.policy,
                held=fence.held_accounts(runtime.engine, tuple(runtime.settings.providers)),
            )
            span.set(opened=batch.opened, parked=batch.parked, canceled=batch.canceled)
        for subscription_id, billed_in in batch.cheaper:
            cheaper_usage.give_back(
                runtime.engine, subscription_id, billed_in, now=now, policy=runtime.policy
            )
        return batch

    def _make_days(self, now: datetime) -> None:
        """Make the next days of usage, once a day."""
        if self._days_made_on != now.date():
            usage_days.make_ahead(self._runtime.engine, now)
            self._days_made_on = now.date()

    def _look_at_usage(self, now: datetime) -> None:
        """Note usage that passed a threshold, once a minute."""
        last = self._alerts_at
        if last is None or not last <= now < last + ALERTS_EVERY:
            self._alerts.look(self._runtime.engine, now)
            self._alerts_at = now

    def _tell(self, batch: opening.Opened) -> None:
        self._metrics.cycles_opened(batch.opened)
        for each in batch.openings:
            lines.opened(each)
        for subscription, why in batch.unable:
            lines.parked(subscription, why)
        for wanted in batch.waiting:
            lines.waits(wanted)
        for subscription in batch.ended:
            lines.ended(subscription)

    def _dispatch(self, limit: int) -> int:
        """Enqueue due payments and refunds, unless the queue holds enough work already.

        The rows are committed first. Where a message is lost, a later tick sends another after the
        window.
        """
        runtime = self._runtime
        try:
            room = runtime.settings.scheduler.queue_high_water - queue_depth(runtime.broker)
        except redis.RedisError as error:
            logger.warning("Redis does not answer, charges wait: %s", first_line(error))
            return 0
        if room <= 0:
            return 0
        context, limit = runtime.context.at_one_instant(), min(limit, room)
        with tracing.span("dispatch payments") as span:
            due = collecting.dispatch_due(context, limit=limit)
            self._enqueue(due, CHARGE_ACTOR)
            span.set(payments=len(due))
        with tracing.span("dispatch refunds") as span:
            back = refund_sending.dispatch_due(context, limit=limit)
            self._enqueue(back, REFUND_ACTOR)
            span.set(refunds=len(back))
        return len(due) + len(back) + self._dispatch_taxes(context, limit)

    def _dispatch_taxes(self, context: Context, limit: int) -> int:
        if not tax_sending.any_open(context):
            return 0
        with tracing.span("dispatch taxes") as span:
            asked = tax_sending.dispatch_due(context, limit=limit)
            self._enqueue(asked, TAX_ACTOR)
            span.set(calls=len(asked))
        return len(asked)

    def _enqueue(self, due: Sequence[UUID], actor: str) -> None:
        for count, row_id in enumerate(due):
            try:
                enqueue(self._runtime.broker, row_id, actor)
            except redis.RedisError as error:
                logger.warning(
                    "%d %ss wait for the next window: %s",
                    len(due) - count,
                    actor,
                    first_line(error),
                )
                break
