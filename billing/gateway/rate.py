"""Limiting the rate at which one process calls the provider.

Each process gets its share of the account's limit, so a request needs no agreement between
processes. After a 429 the bucket pauses, goes on at half its rate, and recovers step by step.
"""

import re
import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final

SLOWEST_SHARE: Final = 1 / 16  # of the full rate, however often 429 comes
RECOVERY_PER_SECOND: Final = 0.05  # of the full rate: from half to full in ten seconds
ROUNDING: Final = 1e-6  # a wait for less than this of a token may be too short for the clock
ONE_BURST_SECONDS: Final = 1.0  # 429s this close together count as one
LONGEST_RETRY_AFTER: Final = timedelta(hours=1)


def retry_after(headers: Mapping[str, str] | None) -> timedelta | None:
    """Return how long an answer asks to wait, an hour at most; None where it doesn't say so."""
    wait = (headers or {}).get("retry-after")
    if wait is None or not re.fullmatch(r"[0-9]{1,9}(\.[0-9]+)?", wait):
        return None
    return min(timedelta(seconds=float(wait)), LONGEST_RETRY_AFTER)


class TokenBucket:
    """A bucket of tokens that refills steadily; a request takes one. Threads share it.

    `rate` is in requests a second, `burst` how many may go at once after a quiet while.
    """

    def __init__(
        self,
        rate: float,
        burst: int = 1,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if rate <= 0 or burst < 1:
            raise ValueError(f"a bucket of {burst} that refills at {rate}/s lets nothing through")
        self._full_rate = rate
        self._burst = float(burst)
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._rate = rate
        self._tokens = float(burst)
        self._filled_at = clock()
        self._paused_until = self._filled_at
        self._slowed_at: float | None = None

    @property
    def rate(self) -> float:
        """The present rate, in requests a second."""
        with self._lock:
            self._refill()
            return self._rate

    def acquire(self, timeout: float | None = None) -> bool:
        """Wait for a token and take it; False, at once, when `timeout` seconds can't suffice."""
        give_up_at = None if timeout is None else self._clock() + timeout
        while (wait := self.take()) > 0:
            if give_up_at is not None and self._clock() + wait > give_up_at:
                return False
            self._sleep(wait)
        return True

    def take(self) -> float:
        """Take a token and return 0, or take none and return the seconds until one may be had."""
        with self._lock:
            self._refill()
            pause = self._paused_until - self._filled_at
            if pause > 0:
                return pause
            if self._tokens >= 1 - ROUNDING:
                self._tokens = max(0.0, self._tokens - 1)
                return 0.0
            return (1 - self._tokens) / self._rate

    def slow_down(self, retry_after: timedelta | None = None) -> None:
        """React to a 429: halve the rate, and send nothing for `retry_after`."""
        with self._lock:
            self._refill()
            now = self._filled_at
            if retry_after is not None:
                self._paused_until = max(self._paused_until, now + retry_after.total_seconds())
            if self._slowed_at is not None and now - self._slowed_at < ONE_BURST_SECONDS:
                return
            self._slowed_at = now
            self._tokens = 0.0
            self._rate = max(self._rate / 2, self._full_rate * SLOWEST_SHARE)

    def _refill(self) -> None:
        now = self._clock()
        start, self._filled_at = self._filled_at, now
        elapsed = now - max(start, min(self._paused_until, now))
        if elapsed <= 0:
            return
        self._tokens = min(self._burst, self._tokens + elapsed * self._rate)
        climb = elapsed * RECOVERY_PER_SECOND * self._full_rate
        self._rate = min(self._full_rate, self._rate + climb)
