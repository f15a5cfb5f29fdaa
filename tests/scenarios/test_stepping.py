"""A settlement run whose steps are asked for one by one, as a job runner of another system does."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from billing.errors import BadInput
from billing.flows.settlement import runs, stepping
from billing.flows.settlement.stepping import Stepped, StepStanding
from billing.rules.actor import Actor, ActorKind
from billing.workers.daemons.reconciler import Reconciler
from tests.scenarios.money import balances
from tests.scenarios.world import Killed, Subscriber, World

STEPS = ("fetch", "stage", "match", "correct", "post", "close")
RUNNER = Actor(ActorKind.CLI, "runner")


def paid(world: World) -> Subscriber:
    customer = world.subscribed("video-premium")
    world.run_until("2026-01-02")
    return customer


def take(world: World, name: str, as_of: datetime | None = None, **more: Any) -> Stepped:
    context = world.context().at_provider(world.provider)
    return stepping.take(context, name, as_of=as_of or world.now, actor=RUNNER, **more)


def standings(world: World, names: Sequence[str] = STEPS, **more: Any) -> list[StepStanding]:
    return [take(world, name, **more).standing for name in names]


def begun(world: World) -> int:
    """Count the settlement runs."""
    with world.engine.connect() as conn:
        return int(conn.execute(text("SELECT count(*) FROM reconciliation_runs")).scalar_one())


def test_a_night_taken_step_by_step_settles_and_closes_as_any_other(world: World) -> None:
    customer = paid(world)

    assert standings(world) == [StepStanding.DONE] * 6

    assert world.payment(customer).state == "SETTLED"
    assert begun(world) == 1
    world.assert_everything_adds_up()


def test_each_step_may_be_asked_for_again(world: World) -> None:
    paid(world)

    twice = [each for name in STEPS for each in standings(world, (name, name))]
    before = balances(world)

    assert twice == [StepStanding.DONE] * 12
    assert standings(world) == [StepStanding.DONE] * 6
    assert (begun(world), balances(world)) == (1, before)


def test_a_step_is_refused_until_the_one_before_it_is_done(world: World) -> None:
    paid(world)

    early = take(world, "match")
    take(world, "fetch")
    still = take(world, "match")

    assert (early.standing, early.first) == (StepStanding.TOO_EARLY, "fetch")
    assert (still.standing, still.first) == (StepStanding.TOO_EARLY, "stage")
    assert balances(world).get("psp_fees") is None


def test_the_instant_names_the_run(world: World) -> None:
    paid(world)
    night = world.now
    assert take(world, "fetch").run_id == take(world, "stage", night).run_id

    world.run_until("2026-01-03")
    assert standings(world, STEPS[2:], as_of=night) == [StepStanding.DONE] * 4
    assert standings(world) == [StepStanding.DONE] * 6
    assert begun(world) == 2


def test_what_a_later_run_has_read_is_done(world: World) -> None:
    paid(world)
    night = world.now
    world.run_until("2026-01-03")
    assert standings(world) == [StepStanding.DONE] * 6

    assert standings(world, as_of=night) == [StepStanding.DONE] * 6
    assert begun(world) == 1


def test_the_first_step_finishes_a_run_that_somebody_left(world: World) -> None:
    customer = paid(world)
    night = world.now
    take(world, "fetch", night)
    world.run_until("2026-01-03")

    assert standings(world) == [StepStanding.DONE] * 6

    assert world.payment(customer).state == "SETTLED"
    assert standings(world, as_of=night) == [StepStanding.DONE] * 6
    world.assert_everything_adds_up()


def test_the_reconcilers_own_loop_and_the_steps_do_no_harm_together(world: World) -> None:
    paid(world)
    found = []
    for name in STEPS:
        found.append(take(world, name).standing)
        world.close_books()

    assert found == [StepStanding.DONE] * 6
    world.assert_everything_adds_up()


def test_a_provider_that_does_not_answer_is_asked_again(world: World) -> None:
    paid(world)
    lists = {"method": "GET"}
    world.psp._control("POST", "faults", kind="error_500_uncommitted", times=50, match=lists)

    stopped = take(world, "fetch")
    world.psp.heal()
    soon = take(world, "fetch")
    world.wait(timedelta(minutes=10))

    assert (stopped.standing, soon.standing) == (StepStanding.STOPPED, StepStanding.HELD)
    assert soon.words is not None
    assert standings(world) == [StepStanding.DONE] * 6
    world.assert_everything_adds_up()


def test_a_run_that_was_given_up_says_so_until_it_is_retried(world: World) -> None:
    paid(world)
    take(world, "fetch")
    with world.engine.begin() as conn:
        conn.execute(text("UPDATE reconciliation_steps SET state = 'failed', last_error = 'broke'"
                          " WHERE step = 'stage'"))  # fmt: skip
        conn.execute(text("UPDATE reconciliation_runs SET state = 'failed'"))

    given_up = take(world, "stage")

    assert (given_up.standing, given_up.words) == (StepStanding.FAILED, "broke")
    assert take(world, "stage", retry=True).standing is StepStanding.DONE
    assert standings(world) == [StepStanding.DONE] * 6
    world.assert_everything_adds_up()


@pytest.mark.parametrize("name", STEPS)
def test_a_process_that_dies_in_a_step_leaves_it_to_be_asked_for_again(
    world: World, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    paid(world)
    standings(world, STEPS[: STEPS.index(name)])

    def dies(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("billing.flows.settlement.step_run.StepRun.finish", dies)
        with pytest.raises(Killed):
            take(world, name)
    assert take(world, name).standing is StepStanding.HELD
    world.wait(world.policy.reconciler_lease)

    assert standings(world, STEPS[STEPS.index(name) :]) == [StepStanding.DONE] * (
        6 - STEPS.index(name)
    )
    world.assert_everything_adds_up()


def test_a_process_that_dies_after_the_last_step_leaves_a_run_that_is_ended(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    paid(world)
    standings(world, STEPS[:-1])

    def dies(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("billing.store.settlement.runs.end", dies)
        with pytest.raises(Killed):
            take(world, "close")

    assert take(world, "close").standing is StepStanding.DONE
    with world.engine.connect() as conn:
        assert runs.is_done(conn, world.provider, now=world.now, every=timedelta(0))


def test_where_no_money_moved_every_step_is_done(world: World) -> None:
    assert standings(world) == [StepStanding.DONE] * 6
    assert begun(world) == 0


def test_a_night_to_come_is_refused(world: World) -> None:
    paid(world)

    with pytest.raises(BadInput, match="still to come"):
        take(world, "fetch", world.now + timedelta(seconds=1))


def test_a_break_is_counted_by_the_step_that_found_it(world: World) -> None:
    paid(world)
    world.psp.take_money(700)

    found = {name: take(world, name).breaks_new for name in STEPS}

    assert found == {**dict.fromkeys(STEPS, 0), "match": 1}


def test_a_reconciler_that_another_system_drives_confirms_and_leaves_the_rest(
    world: World,
) -> None:
    customer = paid(world)
    settings = world.runtime.settings
    external = settings.reconciler.model_copy(update={"driver": "external"})
    driven = replace(world.runtime, settings=settings.model_copy(update={"reconciler": external}))

    with closing(driven):
        Reconciler(driven, world.metrics).tick()

    payment = world.payment(customer)
    assert payment.confirmed_at is not None
    assert (payment.state, begun(world)) == ("CAPTURED", 0)
    assert standings(world) == [StepStanding.DONE] * 6
    assert world.payment(customer).state == "SETTLED"
