"""Every place at which a process may die: killed exactly there, the next one goes on from it."""

import sys
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import text

from billing.flows.refunds import requesting
from billing.rules.actor import Actor, ActorKind
from tests.delivery.dying_role import POINTS, REFUND_POINTS, SENT_AGAIN
from tests.delivery.engine_under_test import EngineUnderTest

SUBSCRIPTIONS = 5
REFUNDS = 3
CARDS = ("pm_card_visa", "pm_card_visa", "pm_sbx_decline_1_then_ok")


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
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


# Where the call of a refund was begun and has no outcome, it is sent again under its key.
REFUND_SENT_AGAIN = ("refund call committed, not sent", "refund answered, nothing written",
                     "refund written, not committed")  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("point", REFUND_POINTS)
def test_a_refund_that_a_killed_process_left_goes_back_once(
    point: str, tmp_path: Path, db_url: str, redis_url: str
) -> None:
    role, mark = REFUND_POINTS[point][0], tmp_path / "died"

    def command(role: str) -> list[str]:
        return [sys.executable, "-m", "tests.delivery.dying_role", role, point, str(mark)]

    with EngineUnderTest(
        tmp_path,
        command=command,
        database__url=db_url,
        redis__url=redis_url,
        worker__threads="1",
    ) as engine:
        engine.populate(REFUNDS, cards=("pm_card_visa",))
        engine.run(lambda: engine.let_pass(timedelta(days=10)))
        engine.wait_until_quiet()

        asked = give_all_back(engine)
        engine.wait_until(mark.exists)
        engine.wait_until(lambda: states(engine) == {"succeeded"})

        assert {name: n for name, n in engine.restarts().items() if n} == {f"{role}-1": 1}
        since = engine.runtime.clock.now() - timedelta(days=20)
        made = [each for page in engine.runtime.gateway.list_refunds(since=since) for each in page]
        assert sorted(each.metadata["refund"] for each in made) == sorted(map(str, asked))
        sends = engine.refund_sends()
        assert sends > REFUNDS if point in REFUND_SENT_AGAIN else sends == REFUNDS

        engine.run(lambda: engine.let_pass(timedelta(days=2)))
        engine.assert_everything_adds_up()


def give_all_back(engine: EngineUnderTest) -> list[UUID]:
    """Ask for a refund of every payment."""
    now = engine.runtime.clock.now()
    with engine.runtime.engine.begin() as conn:
        captured = conn.execute(text("SELECT id FROM payments WHERE amount_captured > 0")).scalars()
        return [
            requesting.request(
                conn, payment_id, reason="late", actor=Actor(ActorKind.CLI, "test"), now=now
            ).id
            for payment_id in captured.all()
        ]


def states(engine: EngineUnderTest) -> set[str]:
    with engine.runtime.engine.connect() as conn:
        return set(conn.execute(text("SELECT state FROM refunds")).scalars())
