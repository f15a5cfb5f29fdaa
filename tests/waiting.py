"""How tests wait: for a condition, never for a time. On a busy machine everything takes longer."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final, TypeVar

from billing.config import Settings
from tests.settings import with_provider

PATIENCE: Final = 300.0  # seconds; what takes longer is stuck, however busy the machine is
_POLL: Final = 0.02

T = TypeVar("T")


def until(condition: Callable[[], T], what: object = "") -> T:
    """Call a function until it returns something true, and return that."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"it didn't happen in {PATIENCE:g} s: {what}"
        time.sleep(_POLL)
    return found


def patient(settings: Settings) -> Settings:
    """Return settings with which nothing gives a provider up that answers late."""
    pause = timedelta(seconds=PATIENCE)
    return with_provider(settings, timeout_connect=pause, timeout_read=pause, deadline=pause)


def _reached(count: Callable[[], int], wanted: int) -> None:
    until(lambda: count() >= wanted, f"{wanted} requests held back")


Control = Callable[..., dict[str, Any]]
"""Asks a page of a sandbox: method, page, and what to say in the body."""


@contextmanager
def held_back(control: Control, path: str, *, times: int = 1) -> Iterator[Callable[[], None]]:
    """Let a sandbox keep the next POSTs to a path waiting until the block is left.

    Yields a function that returns when so many are waiting. Other faults are cleared, too.
    """

    def fired() -> int:
        return int(control("GET", "stats")["faults"].get("slow", 0))

    wanted = fired() + times
    matching = {"method": "POST", "path": path}
    control(
        "POST", "faults", kind="slow", times=times, delay_ms=int(PATIENCE * 1000), match=matching
    )
    try:
        yield lambda: _reached(fired, wanted)
    finally:
        control("DELETE", "faults")
