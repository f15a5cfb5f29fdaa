"""Roles that run as they are shipped, killed where nothing is committed yet: the next goes on.

`tests/delivery/test_crash_matrix.py` kills processes behind everything that is.
"""

import sys
from datetime import timedelta
from pathlib import Path

import pytest

from tests.delivery.dying_role import POINTS, SENT_AGAIN
from tests.delivery.engine_under_test import EngineUnderTest
from tests.shares import share

SUBSCRIPTIONS = 5
CARDS = ("pm_card_visa", "pm_card_visa", "pm_sbx_decline_1_then_ok")


@pytest.mark.slow
@pytest.mark.parametrize("point", share(list(POINTS), 2))
def test_what_a_killed_process_left_is_finished_by_the_next(
    point: str, tmp_path: Path, db_url: str, redis_url: str
) -> None:
    role, mark = POINTS[point][0], tmp_path / "died"

    def command(role: str) -> list[str]:
        return [sys.executable, "-m", "tests.delivery.dying_role", role, point, str(mark)]

    with EngineUnderTest(
        tmp_path,
        command=command,
        database__url=db_url,
        redis__url=redis_url,
        scheduler__batch="3",
        reconciler__batch="2",
        worker__threads="1",
    ) as engine:
        engine.populate(SUBSCRIPTIONS, cards=CARDS)

        engine.run(lambda: engine.let_pass(timedelta(days=10)))
        engine.wait_until(mark.exists)
        engine.wait_until(lambda: sum(engine.restarts().values()) > 0)

        engine.assert_everything_adds_up()
        assert {name: n for name, n in engine.restarts().items() if n} == {f"{role}-1": 1}
        assert engine.sandbox.stats()["captures"] == engine.regular_periods() == SUBSCRIPTIONS
        attempts = engine.attempts()
        assert attempts == SUBSCRIPTIONS + 1, "one card was declined once"
        if point in SENT_AGAIN:
            assert engine.sends() > attempts

        engine.run(lambda: engine.let_pass(timedelta(days=30)))  # its successor goes on
        engine.assert_everything_adds_up()
        assert engine.sandbox.stats()["captures"] == 2 * SUBSCRIPTIONS
