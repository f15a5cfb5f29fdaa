"""Everything is killed at random, again and again, while months of billing go by.

    CHAOS_SECONDS=300 CHAOS_SEED=7 pytest --log-cli-level=INFO tests/delivery/test_chaos.py

soaks for five minutes and says what was done. A seed fixes in which order and after which pauses
things are killed; where that hits them is up to the machine too.
"""

import logging
import os
from datetime import timedelta
from pathlib import Path

import pytest

from tests.delivery.chaos import CARDS, PLANS, Chaos, misfortunes
from tests.delivery.engine_under_test import START, EngineUnderTest, patiently
from tests.delivery.turns import in_turn

logger = logging.getLogger(__name__)

SUBSCRIPTIONS = 30
DAYS_MIN = 62


@pytest.mark.slow
@in_turn("chaos")
def test_whatever_is_killed_everything_adds_up_when_it_is_quiet_again(tmp_path: Path) -> None:
    seed = int(os.environ.get("CHAOS_SEED", "1"))
    seconds = float(os.environ.get("CHAOS_SECONDS", "10"))
    with EngineUnderTest(tmp_path, workers=2) as engine:
        engine.populate(SUBSCRIPTIONS, cards=CARDS, plans=PLANS, spread=timedelta(days=10))
        chaos = Chaos(misfortunes(engine), seed, seconds)
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
