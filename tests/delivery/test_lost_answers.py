"""A provider that does what it is told and then loses one answer in ten."""

from datetime import timedelta
from pathlib import Path

import pytest

from tests.delivery.engine_under_test import EngineUnderTest
from tests.delivery.turns import in_turn

# Per request. The money has moved in all of them, and nobody heard of it.
LOST_AFTER_COMMIT = {
    "reset_after_commit": 0.03,
    "truncated_body": 0.025,
    "error_500": 0.02,
    "garbage_200": 0.02,
    "hang_after_commit": 0.01,
}


@pytest.mark.slow
@in_turn("lost answers")
def test_one_lost_answer_in_ten_charges_nobody_twice_and_leaves_nothing_unknown(
    tmp_path: Path, db_url: str, redis_url: str
) -> None:
    with EngineUnderTest(tmp_path, database__url=db_url, redis__url=redis_url) as engine:
        engine.populate(30)
        for seed, (kind, probability) in enumerate(LOST_AFTER_COMMIT.items()):
            engine.fault(kind, probability=probability, seed=seed)

        engine.run(lambda: engine.let_pass(timedelta(days=95)))

        engine.assert_everything_adds_up()
        captures = engine.sandbox.stats()["captures"]
        assert captures == engine.regular_periods() == 30 * 4
        lost = engine.sandbox.stats()["faults"]
        assert sum(lost.values()) > captures / 20, lost
        assert engine.sends() > captures
