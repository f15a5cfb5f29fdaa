"""Chance that repeats: the ids that a test makes, and so the order of its rows, follow from a seed.

What is due at one instant is done in the order of ids. With random ids, a test that knows only one
of those orders fails now and then.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from random import Random
from typing import Any, Final
from unittest.mock import patch

USUAL: Final = "7"
SEED: Final = os.environ.get("TEST_SEED", USUAL)

_RANDOM: Final = (
    "billing.ids.os",
    "billing.sandbox.ids.os",
    "billing.flows.subscriptions.subscribing.secrets",
)


class Entropy:
    """Stands in for `os` and `secrets` where ids are made: the same ones for the same seed."""

    def __init__(self, seed: object) -> None:
        self._chance = Random(f"ids {seed}")
        self._process = os.getpid()

    def urandom(self, count: int) -> bytes:
        """Return bytes. A fork takes fresh ones: it would repeat those of its parent."""
        if os.getpid() != self._process:
            return os.urandom(count)
        return self._chance.randbytes(count)

    def choice(self, among: Sequence[str]) -> str:
        return self._chance.choice(among)


class Milliseconds:
    """Stands in for `time`: one millisecond an id, so that ids sort as they were made.

    Begins on 2030-03-17, or so many days earlier, for what is there before a test begins.
    """

    def __init__(self, earlier: int = 0) -> None:
        self._millis = 1_900_000_000_000 - earlier * 86_400_000

    def time_ns(self) -> int:
        self._millis += 1
        return self._millis * 1_000_000


@contextmanager
def repeatable_ids(seed: object, time: Any = None) -> Iterator[None]:
    """Make ids from a seed and from a stand-in for `time`, until the block is left."""
    entropy = Entropy(seed)
    with ExitStack() as stack:
        for name in _RANDOM:
            stack.enter_context(patch(name, entropy))
        stack.enter_context(patch("billing.ids.time", time or Milliseconds()))
        yield
