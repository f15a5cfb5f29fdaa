"""The reconciler worker: does the provider have what we booked? Then close the cycles.

Two may run at once: confirming is idempotent and a batch of cycles is closed under locks.
"""

import logging
import threading
import time

from sqlalchemy.exc import DBAPIError

from billing.errors import BillingError
from billing.flows import close, confirm
from billing.store import tasks
from workers.metrics import ProcessMetrics
from workers.runtime import Runtime
from workers.scheduler import record_failure

logger = logging.getLogger(__name__)

CONFIRM = "confirm"
CLOSE = "close"
LONGEST_PAUSE_SECONDS = 60.0


class Reconciler:
    """One reconciler; `tick` confirms and closes, `run` does it until told to stop."""

    def __init__(self, runtime: Runtime, metrics: ProcessMetrics) -> None:
        self._runtime = runtime
        self._metrics = metrics
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Ask the running loop to end after the step in hand."""
        self._stopping.set()

    def run(self) -> None:
        """Tick until stopped; a failure is logged and the next tick comes later."""
        tick_seconds = self._runtime.settings.reconciler.tick.total_seconds()
        pause = tick_seconds
        while not self._stopping.is_set():
            try:
                self.tick()
                pause = tick_seconds
            except (DBAPIError, BillingError) as error:
                pause = min(max(pause, 0.5) * 2, LONGEST_PAUSE_SECONDS)
                line = str(error).strip().split("\n", 1)[0]
                logger.error("reconciling failed, next in %.1f s: %s", pause, line)
                self._metrics.tick_failed()
                record_failure(self._runtime, CONFIRM, error)
            self._stopping.wait(pause)

    def tick(self) -> tuple[confirm.ConfirmRun, close.Closed]:
        """Confirm captures with the provider's lists, then close what is ready."""
        return self._confirm(), self._close()

    def _confirm(self) -> confirm.ConfirmRun:
        runtime, started = self._runtime, time.monotonic()
        with runtime.engine.connect() as conn:
            read_until = tasks.watermark(conn, CONFIRM)
        done = confirm.run(
            runtime.engine,
            runtime.gateway,
            now=runtime.clock.now(),
            read_until=read_until,
            policy=runtime.policy,
        )
        with runtime.engine.begin() as conn:
            tasks.succeeded(
                conn,
                CONFIRM,
                runtime.clock.wall(),
                seconds=time.monotonic() - started,
                watermark=done.until,
            )
        return done

    def _close(self) -> close.Closed:
        runtime, started = self._runtime, time.monotonic()
        now = runtime.clock.now()
        done = close.run(runtime.engine, now=now, batch=runtime.settings.reconciler.batch)
        with runtime.engine.begin() as conn:
            tasks.succeeded(
                conn,
                CLOSE,
                runtime.clock.wall(),
                seconds=time.monotonic() - started,
                watermark=now,
            )
        self._metrics.cycles_closed(done.closed)
        return done
