"""Several of every role at once, with a provider that fails and messages that come twice."""

import random
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from billing.workers.demo import world
from billing.workers.demo.world import FAULTS, InjectedFaults
from tests.delivery.engine_under_test import EngineUnderTest
from tests.delivery.turns import in_turn

CARDS = (
    "pm_card_visa",
    "pm_sbx_ok_1_then_insufficient_1_then_ok",
    "pm_card_mastercard",
    "pm_sbx_decline_2_then_ok",
    "pm_sbx_ok_2_then_lost_card",
)
PLANS = (("video-premium", "EUR"), ("office-payroll", "KWD"), ("video-basic", "JPY"))


@pytest.mark.slow
@in_turn("many")
def test_two_schedulers_and_three_workers_do_everything_once(
    tmp_path: Path, db_url: str, redis_url: str
) -> None:
    with EngineUnderTest(
        tmp_path,
        schedulers=2,
        workers=3,
        reconcilers=2,
        database__url=db_url,
        redis__url=redis_url,
        scheduler__batch="4",  # so that none takes all there is
    ) as engine:
        engine.populate(30, cards=CARDS, plans=PLANS, spread=timedelta(hours=12))
        for seed, (kind, probability) in enumerate(FAULTS):
            engine.fault(kind, probability=2 * probability, seed=seed)
        rng, doubled = random.Random(1), InjectedFaults()

        def double_messages(_now: datetime) -> None:
            for _ in range(5):
                world.double_messages(engine.runtime, rng, doubled)

        engine.run(lambda: engine.let_pass(timedelta(days=40), double_messages))

        engine.assert_everything_adds_up()
        assert doubled.duplicated_messages > 60
        assert sum(engine.sandbox.stats()["faults"].values()) > 10
        assert sum(engine.restarts().values()) == 0, "nobody fell over"
