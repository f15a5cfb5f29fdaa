"""Workers and the server of Temporal are killed in the middle of a night."""

import asyncio
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client

from billing.workers.temporal.values import At, NightStanding
from tests import processes
from tests.cli.world import World
from tests.delivery.engine_under_test import foreign
from tests.temporal.dying_worker import MOMENTS
from tests.temporal.servers import DevServer, begin
from tests.temporal.story import SETTLED, books
from tests.waiting import PATIENCE, until

RESTARTED_AFTER = 3


@pytest.mark.slow
def test_workers_killed_in_every_step_and_a_restarted_server_leave_the_same_books(
    world: World, server: DevServer, tmp_path: Path
) -> None:
    deaths = tmp_path / "deaths"
    deaths.touch()
    env = {**foreign(), **world.env, "BILLING__TEMPORAL__ADDRESS": server.address}
    command = [sys.executable, "-m", "tests.temporal.dying_worker", str(deaths)]

    async def night() -> tuple[NightStanding, Counter[int]]:
        client = await Client.connect(server.address)
        handle = await begin(client)
        await asyncio.to_thread(until, lambda: deaths.read_text().count("\n") >= RESTARTED_AFTER)
        server.kill()
        server.start()
        async with asyncio.timeout(PATIENCE):
            standing = await handle.result()
        history = await handle.fetch_history()
        return standing, Counter(event.event_type for event in history.events)

    with processes.running(command, env=env, cwd=world.folder) as workers:
        standing, events = asyncio.run(night())
        workers.send_signal(signal.SIGTERM)
        assert workers.wait(PATIENCE) == 0, "the last one was stopped and had finished its work"

    assert deaths.read_text().split("\n")[:-1] == list(MOMENTS)
    assert standing.at == At.DONE
    assert standing.breaks_new == 1
    assert books(world) == SETTLED
    assert events[EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED] == 1 + len(MOMENTS)
