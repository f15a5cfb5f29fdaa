"""Everything is killed at random, again and again, while months of billing go by.

    CHAOS_SECONDS=300 CHAOS_SEED=7 pytest --log-cli-level=INFO tests/delivery/test_chaos.py

soaks for five minutes and says what was done. A seed fixes in which order and after which pauses
things are killed; where that hits them is up to the machine too.
"""

import logging
import os
import random
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from billing.errors import Unavailable
from tests.delivery.engine_under_test import START, EngineUnderTest, patiently

logger = logging.getLogger(__name__)

SUBSCRIPTIONS = 60
DAYS_MIN = 62
CARDS = (
    "pm_card_visa",
    "pm_card_mastercard",
    "pm_card_visa",
    "pm_sbx_ok_1_then_insufficient_2_then_ok",
    "pm_sbx_decline_1_then_ok",
    "pm_card_amex",
    "pm_sbx_ok_1_then_expired_card",
    "pm_sbx_ok_2_then_lost_card",
)
PLANS = (
    ("video-premium", "USD"),
    ("video-basic", "JPY"),
    ("office-payroll", "KWD"),
    ("office-team", "EUR"),
    ("video-premium", "EUR"),
)
FLUSHALL = "FLUSHALL"
LOST_ANSWERS = "lost answers"
LOST = ("reset_after_commit", "truncated_body", "error_500", "reset_before", "rate_limit_429")


class Chaos:
    """Strikes now and then; everything there is gets its turn before anything gets a second."""

    def __init__(self, engine: EngineUnderTest, seed: int, seconds: float) -> None:
        self.struck: Counter[str] = Counter()
        self._engine = engine
        self._rng = random.Random(seed)
        self._ends_at = time.monotonic() + seconds
        self._next_at = time.monotonic()
        self._deck: list[str] = []

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self._ends_at and set(self.struck) == self.everything

    def strike(self) -> None:
        """Kill something, if it is time to."""
        if self.is_over or time.monotonic() < self._next_at:
            return
        if not self._deck:
            self._deck = sorted(self.everything)
            self._rng.shuffle(self._deck)
        if self._strike(self._deck[-1]):
            self.struck[self._deck.pop()] += 1
        self._next_at = time.monotonic() + self._rng.uniform(0.2, 1.8)

    @property
    def everything(self) -> set[str]:
        """What may be struck."""
        return {*self._engine.names, FLUSHALL, LOST_ANSWERS}

    def _strike(self, victim: str) -> bool:
        if victim == FLUSHALL:
            return self._engine.flush()
        if victim == LOST_ANSWERS:
            return self._lose_answers()
        return self._engine.kill(victim)

    def _lose_answers(self) -> bool:
        try:
            for kind in LOST:
                self._engine.fault(kind, times=2)
        except Unavailable:
            return False
        return True


@pytest.mark.slow
def test_whatever_is_killed_everything_adds_up_when_it_is_quiet_again(tmp_path: Path) -> None:
    seed = int(os.environ.get("CHAOS_SEED", "1"))
    seconds = float(os.environ.get("CHAOS_SECONDS", "15"))
    with EngineUnderTest(tmp_path, workers=2) as engine:
        engine.populate(SUBSCRIPTIONS, cards=CARDS, plans=PLANS, spread=timedelta(days=10))
        chaos = Chaos(engine, seed, seconds)
        try:
            engine.run(lambda: months_go_by(engine, chaos), meanwhile=chaos.strike)
            engine.assert_everything_adds_up()
            logger.info("%s", engine.figures())
        except BaseException as error:
            error.add_note(f"CHAOS_SEED={seed} CHAOS_SECONDS={seconds:g}")
            raise
        finally:
            logger.info("struck %d times: %s", chaos.struck.total(), dict(chaos.struck))


def months_go_by(engine: EngineUnderTest, chaos: Chaos) -> None:
    """Let time pass for as long as things are being killed, and for two months at least."""
    now = patiently(engine.runtime.clock.now)
    while not chaos.is_over or now < START + timedelta(days=DAYS_MIN):
        now = engine.let_pass(timedelta(days=14))
