"""The loop of a role: tick, pause, tick again; failures make the pauses longer."""

import logging
import threading
from abc import ABC, abstractmethod
from datetime import timedelta
from typing import ClassVar

import redis
from sqlalchemy.exc import DBAPIError

from billing.errors import BillingError, first_line
from billing.workers.runtime.metrics import ProcessMetrics
from billing.workers.runtime.runtime import Runtime

logger = logging.getLogger(__name__)

SHORTEST_PAUSE_AFTER_FAILURE_SECONDS = 1.0


class Ticking(ABC):
    """A loop that repeats `tick` until it is asked to stop."""

    words: ClassVar[str]
    longest_pause_seconds: ClassVar[float]

    def __init__(self, runtime: Runtime, metrics: ProcessMetrics, every: timedelta) -> None:
        self._runtime = runtime
        self._metrics = metrics
        self._every_seconds = every.total_seconds()
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Ask the running loop to end after its current tick."""
        self._stopping.set()

    def run(self) -> None:
        """Tick until stopped; a failure is logged and counted, and the next tick comes later."""
        pause = self._every_seconds
        while not self._stopping.is_set():
            self._before_tick()
            try:
                self.tick()
                pause = self._every_seconds
            except (DBAPIError, BillingError, redis.RedisError) as error:
                pause = max(pause * 2, SHORTEST_PAUSE_AFTER_FAILURE_SECONDS)
                pause = min(pause, self.longest_pause_seconds)
                logger.error("%s, next in %.1f s: %s", self.words, pause, first_line(error))
                self._metrics.tick_failed()
            self._wait(pause)

    @abstractmethod
    def tick(self) -> object:
        """Do all due work once."""

    def _before_tick(self) -> None:  # noqa: B027  most have nothing to note
        """Remember the state that `_wait` compares with."""

    def _wait(self, seconds: float) -> None:
        self._stopping.wait(seconds)
