"""The loop that handles events: those that are due, and those that a sweep found.

The loop runs in the reconciler's process, in a thread of its own. In a worker, a burst of events
would take threads and calls from the charges. In the reconciler's own loop, events would wait for a
night's settlement, which may take minutes, while a customer's new card should be tried within
seconds. Several loops may run: rows are locked with SKIP LOCKED, and a repeated sweep does no harm.
"""

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, Protocol

from billing.errors import BillingError, first_line
from billing.flows import fence
from billing.flows.webhooks import handling, inbox
from billing.flows.webhooks.handling import Result
from billing.flows.webhooks.inbox import Swept, sweep_task
from billing.store import tasks
from billing.workers.daemons.recorded import recorded
from billing.workers.daemons.ticking import Ticking
from billing.workers.runtime import lines
from billing.workers.runtime.metrics import ProcessMetrics
from billing.workers.runtime.runtime import Runtime

logger = logging.getLogger(__name__)

# When the last sweep is longer ago than this, the sweep reads delivered events too, not only those
# whose delivery failed.
BEHIND: Final = timedelta(hours=1)


class Webhooks(Ticking):
    """Handles events; `tick` does one round, `run` repeats it until asked to stop."""

    words = "events wait"
    longest_pause_seconds = 60.0

    def __init__(self, runtime: Runtime, metrics: ProcessMetrics) -> None:
        super().__init__(runtime, metrics, runtime.settings.webhooks.tick)

    def tick(self) -> list[Result]:
        """Handle every due event; then sweep, when it is time, and handle the events found.

        Raises the error of the first account that couldn't be swept, after all else is done.
        """
        results = self.handle_due()
        failed = self.sweep_due()
        results += self.handle_due()
        if failed:
            raise failed[0]
        return results

    def handle_due(self) -> list[Result]:
        """Handle every event that is due, batch by batch, and count the results."""
        done: list[Result] = []
        context = self._runtime.context
        for account in context.gateways.names:  # an account is compared before its events are
            fence.passes(context, account)
        while not self._stopping.is_set():
            results = handling.handle_due(context)
            if not results:
                break
            done += results
            for result in results:
                self._count(result)
        return done

    def _count(self, result: Result) -> None:
        done = result.events
        self._metrics.webhooks_handled(done.provider, len(done.event_ids), failed=result.failed)
        adopted = None if result.handled is None else result.handled.adopted
        if adopted is not None:
            self._metrics.attempt_finished(adopted.sending, adopted.outcome)
            lines.charge(adopted.sending, adopted.outcome, None)

    def sweep_due(self) -> list[BillingError]:
        """Sweep each account when it is time; where its provider lists no events, less often.

        An account that can't be swept holds up no other one; returns the errors.
        """
        gateways, failed = self._runtime.gateways, list[BillingError]()
        for provider in gateways.names:
            try:
                lists_events = gateways.of(provider).capabilities.lists_events
                known = fence.compared(self._runtime.context, provider)
                if known and self._sweep_is_due(provider, lists_events=lists_events):
                    self.sweep(provider)
            except BillingError as error:
                logger.warning("account %s: %s", provider, first_line(error))
                failed.append(error)
        return failed

    def _task(self, provider: str) -> str:
        return sweep_task(provider)

    def _sweep_is_due(self, provider: str, *, lists_events: bool) -> bool:
        settings = self._runtime.settings.webhooks
        every = settings.sweep_every if lists_events else settings.list_every
        with self._runtime.engine.connect() as conn:
            last = tasks.last_run(conn, self._task(provider))
        if last is None or last.last_success_at is None:
            return True
        return bool(last.last_success_at + every <= self._runtime.clock.wall())

    def sweep(self, provider: str | None = None) -> Swept:
        """Read an account's list of events for those that never reached us; None is the default."""
        runtime = self._runtime
        provider = provider or runtime.gateways.default_account
        with recorded(runtime, self._task(provider)) as run:
            now, wall = runtime.clock.now(), runtime.clock.wall()
            watermark = self._watermark(provider, now)
            gateway = runtime.gateways.of(provider)
            swept = (
                inbox.sweep(
                    runtime.engine,
                    provider,
                    gateway,
                    watermark=watermark,
                    complete=self._wants_all(provider, watermark, now),
                    now=now,
                    wall=wall,
                )
                if gateway.capabilities.lists_events
                else inbox.sweep_objects(
                    runtime.engine, provider, gateway, watermark=watermark, now=now, wall=wall
                )
            )
            run.done_until = now
        for event in swept.new:
            self._metrics.webhook_received(provider, event.kind, "sweep")
        if swept.new:
            logger.info("%d events had not reached us", len(swept.new))
        return swept

    def _watermark(self, provider: str, now: datetime) -> datetime | None:
        """Return the instant up to which events were read; None if there is none or in the future.

        An instant in the future comes from a wrong clock, or from before the test clock was set; a
        sweep from there would find nothing.
        """
        with self._runtime.engine.connect() as conn:
            last = tasks.last_run(conn, self._task(provider))
        if last is None or last.watermark is None or last.watermark > now:
            return None
        watermark: datetime = last.watermark
        return watermark

    def _wants_all(self, provider: str, watermark: datetime | None, now: datetime) -> bool:
        """Without an endpoint no delivery can fail, so the sweep has to read all events."""
        settings = self._runtime.settings
        if not settings.webhook_secrets(provider) or watermark is None:
            return True
        return now - watermark > max(BEHIND, 3 * settings.webhooks.sweep_every)


class Loop(Protocol):
    """A loop that runs until it is asked to stop."""

    def run(self) -> None:
        """Work until stopped."""
        ...

    def stop(self) -> None:
        """Ask the running loop to end."""
        ...


def beside(first: Loop, second: Loop) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return a function that runs two loops in one process, and one that stops them.

    When one loop ends, even by an error, the other is stopped too, so that the process is restarted
    as a whole.
    """

    def stop() -> None:
        first.stop()
        second.stop()

    def second_to_its_end() -> None:
        try:
            second.run()
        except BaseException as error:  # noqa: BLE001  raised by whoever waits for this thread
            failed.append(error)
        finally:
            first.stop()

    def run() -> None:
        thread = threading.Thread(target=second_to_its_end, name="webhooks")
        thread.start()
        try:
            first.run()
        finally:
            second.stop()
            thread.join()
        if failed:
            raise failed[0]

    failed: list[BaseException] = []
    return run, stop
