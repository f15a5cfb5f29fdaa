"""Chaos: things are struck at random, each in its turn, for as long as a soak lasts.

A seed fixes in which order and after which pauses things are struck; where that hits them is up
to the machine too.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from billing.errors import Unavailable
from tests.delivery.engine_under_test import CHARGING, EngineUnderTest

Strike = Callable[[], bool]
"""Strikes something and tells whether it was there to be struck."""

LOST: Final = ("reset_after_commit", "truncated_body", "error_500", "reset_before",
               "rate_limit_429")  # fmt: skip
CARDS: Final = (
    "pm_card_visa",
    "pm_card_mastercard",
    "pm_card_visa",
    "pm_sbx_ok_1_then_insufficient_2_then_ok",
    "pm_sbx_decline_1_then_ok",
    "pm_card_amex",
    "pm_sbx_ok_1_then_expired_card",
    "pm_sbx_ok_2_then_lost_card",
)
PLANS: Final = (
    ("video-premium", "USD"),
    ("video-basic", "JPY"),
    ("office-payroll", "KWD"),
    ("office-team", "EUR"),
    ("video-premium", "EUR"),
)

Losing = Sequence[tuple[Mapping[str, Any], Sequence[str]]]
"""Requests as faults of the sandbox match them, each with kinds of faults."""


class Chaos:
    """Strikes now and then; everything there is gets its turn before anything gets a second."""

    def __init__(self, strikes: Mapping[str, Strike], seed: int, seconds: float) -> None:
        self.struck: Counter[str] = Counter()
        self._strikes = strikes
        self._rng = random.Random(seed)
        self._ends_at = time.monotonic() + seconds
        self._next_at = time.monotonic()
        self._deck: list[str] = []

    @property
    def is_over(self) -> bool:
        """Tell whether the time is up and everything was struck once."""
        return time.monotonic() >= self._ends_at and set(self.struck) == set(self._strikes)

    def strike(self) -> None:
        """Strike something, if it is time to."""
        if self.is_over or time.monotonic() < self._next_at:
            return
        if not self._deck:
            self._deck = sorted(self._strikes)
            self._rng.shuffle(self._deck)
        if self._strikes[self._deck[-1]]():
            self.struck[self._deck.pop()] += 1
        self._next_at = time.monotonic() + self._rng.uniform(0.2, 1.8)


def misfortunes(engine: EngineUnderTest, losing: Losing = ((CHARGING, LOST),)) -> dict[str, Strike]:
    """Return all that can befall an engine: each process killed, Redis emptied, answers lost.

    `losing` says the answers to which requests are lost, and in which ways.
    """
    kills = {name: partial(engine.kill, name) for name in engine.names}
    return {
        **kills,
        "FLUSHALL": engine.flush,
        "lost answers": partial(_lose_answers, engine, losing),
    }


def _lose_answers(engine: EngineUnderTest, losing: Losing) -> bool:
    try:
        for match, kinds in losing:
            for kind in kinds:
                engine.sandbox.fault(kind=kind, match=match, times=2)
    except Unavailable:
        return False
    return True
