"""A night that Temporal drives, on its server without the waiting: the same books as any other."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta

import pytest
import requests
from sqlalchemy import text
from temporalio.client import WorkflowFailureError

from billing.flows.settlement.stepping import Stepped
from billing.rules.reconciliation import STEPS
from billing.workers.daemons import asked_steps
from billing.workers.temporal import asking
from billing.workers.temporal.activities import ACTOR
from billing.workers.temporal.night import Night
from billing.workers.temporal.values import Approval, At, NightStanding
from tests.cli.world import World
from tests.temporal.servers import Handle, begin, time_skipped, working
from tests.temporal.story import NIGHT, SETTLED, books, steps_done, tick
from tests.waiting import PATIENCE, until


def by_temporal(world: World) -> NightStanding:
    """Let Temporal drive the night to its end."""

    async def night() -> NightStanding:
        async with time_skipped() as env, working(env.client, world):
            return await (await begin(env.client)).result()

    return asyncio.run(night())


def by_own_loop(world: World) -> None:
    tick(world, driver="own")


def by_commands(world: World) -> None:
    """Take the steps one after the other, as a DAG of commands does."""
    for step in STEPS:
        done = world.run(
            "reconcile", "run", "--step", step, "--as-of", f"{NIGHT:%Y-%m-%dT%H:%M:%SZ}"
        )
        assert done.exit_code in (0, 3), done.output


def by_all_at_once(world: World) -> None:
    """Let the own loop, a sequence of steps and Temporal drive the same night at one time."""
    with ThreadPoolExecutor() as pool:
        drivers = (by_own_loop, by_steps_tried_again, by_temporal)
        for driving in [pool.submit(drive, world) for drive in drivers]:
            driving.result(PATIENCE)


def by_steps_tried_again(world: World) -> None:
    with closing(world.runtime()) as runtime:

        def take(step: str, as_of: datetime = NIGHT) -> Stepped:
            return asked_steps.take(runtime, "stripe", step, as_of=as_of, actor=ACTOR)

        for step in STEPS:
            until(lambda step=step: take(step).is_done, step)  # type: ignore[misc]


@pytest.mark.parametrize("drive", [by_own_loop, by_commands, by_all_at_once])
def test_whoever_drives_a_night_leaves_the_same_books_and_breaks(
    world: World, drive: Callable[[World], object]
) -> None:
    drive(world)

    assert books(world) == SETTLED


def test_a_night_that_temporal_drives_leaves_them_too_and_tells_its_breaks(world: World) -> None:
    done = by_temporal(world)

    assert books(world) == SETTLED
    assert done.at == At.DONE
    assert done.accounts["stripe"].done == list(STEPS)
    assert done.breaks_new == 1
    assert done.proved is not None
    assert done.proved.broken == []
    assert done.close is not None
    assert done.close.cycles_closed == SETTLED.closed


async def stands(handle: Handle, at: At) -> NightStanding:
    """Wait until a night stands somewhere."""
    async with asyncio.timeout(PATIENCE):
        while (found := await handle.query(Night.standing)).at != at:
            await asyncio.sleep(0.05)
    return found


def test_a_close_that_needs_an_approval_waits_for_it_and_for_no_earlier_one(world: World) -> None:
    world.env["BILLING__TEMPORAL__REQUIRE_APPROVAL"] = "true"

    async def night() -> None:
        async with time_skipped() as env:
            handle = await begin(env.client)
            await handle.signal(Night.approve, Approval("too early"))
            async with working(env.client, world):
                waiting = await stands(handle, At.WAITING)
                assert waiting.waiting_for_approval_since is not None
                assert (waiting.breaks_new, waiting.approved_by) == (1, None)
                await env.sleep(timedelta(days=2))
                assert (await stands(handle, At.WAITING)) == waiting
                assert await asyncio.to_thread(steps_done, world) == list(STEPS[:-1])

                await handle.signal(Night.approve, Approval("ann"))
                done = await handle.result()
                assert (done.at, done.approved_by) == (At.DONE, "ann")
                assert done.waiting_for_approval_since is None

    asyncio.run(night())
    assert books(world) == SETTLED
    (line,) = [each for each in world.json("audit", "list") if each["action"] == "close.approve"]
    assert (line["actor"], line["why"]) == ("reconciler:temporal", "approved by ann")


def test_a_step_that_says_try_again_is_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("billing.flows.settlement.runs.BACKOFF", timedelta(0))
    faults = f"{world.sandbox_url}/_sandbox/faults"
    lists = {"method": "GET", "path": "/v1/balance_transactions"}
    fault = {"kind": "error_500_uncommitted", "times": 1000, "match": lists}
    requests.post(faults, json=fault, timeout=PATIENCE).raise_for_status()

    async def night() -> NightStanding:
        async with time_skipped() as env, working(env.client, world):
            handle = await begin(env.client)
            async with asyncio.timeout(PATIENCE):
                while not (seen := await asking.seen(handle)).trying:
                    await asyncio.sleep(0.05)
            assert seen.trying[0].startswith("take_step, try ")
            assert seen.standing.accounts["stripe"].step in ("fetch", "stage")
            await asyncio.to_thread(requests.delete, faults, timeout=PATIENCE)
            return await handle.result()

    assert asyncio.run(night()).at == At.DONE
    assert books(world) == SETTLED


def test_a_run_that_was_given_up_fails_the_night_after_all_else_is_done(world: World) -> None:
    async def night() -> NightStanding:
        async with time_skipped() as env, working(env.client, world):
            handle = await begin(env.client)
            with pytest.raises(WorkflowFailureError) as failed:
                await handle.result()
            assert "given up at stage: it broke" in str(failed.value.cause)
            return await handle.query(Night.standing)

    with closing(world.runtime()) as runtime:
        asked_steps.take(runtime, "stripe", "fetch", as_of=NIGHT, actor=ACTOR)
        with runtime.engine.begin() as conn:
            conn.execute(text("UPDATE reconciliation_steps SET state = 'failed', last_error ="
                              " 'it broke' WHERE step = 'stage'"))  # fmt: skip
            conn.execute(text("UPDATE reconciliation_runs SET state = 'failed'"))

    standing = asyncio.run(night())

    assert standing.at == At.FAILED
    assert standing.proved is not None
    assert standing.accounts["stripe"].done == ["fetch"]
