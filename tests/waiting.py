"""How tests wait: for a condition, never for a time. On a busy machine everything takes longer."""

import time
from collections.abc import Callable
from typing import Final, TypeVar

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
