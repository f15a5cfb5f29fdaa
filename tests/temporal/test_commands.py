"""`billing temporal` beside a server of Temporal, and where there is none."""

import asyncio
import importlib.util
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from billing.embedded.servers import free_port
from billing.workers.temporal.values import At
from tests.cli.world import Cli, World
from tests.temporal.servers import DevServer, working
from tests.temporal.story import SETTLED, books
from tests.waiting import until

COMMANDS = ("worker", "schedule", "show", "approve")


@pytest.fixture
def driven(world: World, server: DevServer) -> World:
    """A world whose commands find the server."""
    world.env["BILLING__TEMPORAL__ADDRESS"] = server.address
    return world


@contextmanager
def worker_beside(world: World, address: str) -> Iterator[None]:
    """Run a worker in a thread."""
    loop, stopping = asyncio.new_event_loop(), asyncio.Event()

    async def work() -> None:
        async with working(await Client.connect(address), world):
            await stopping.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=[work()])
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join()
        loop.close()


def test_finance_lets_a_scheduled_night_close(driven: World, server: DevServer) -> None:
    driven.env["BILLING__TEMPORAL__REQUIRE_APPROVAL"] = "true"
    assert "no night was started yet" in driven.run("temporal", "show").stderr

    made = driven.json("temporal", "schedule")
    moved = driven.json("temporal", "schedule", BILLING__TEMPORAL__AT="04:30")
    assert (made["schedule"], made["made"], moved["made"]) == ("perennial-night", True, False)
    assert (made["next_at"][11:16], moved["next_at"][11:16]) == ("02:00", "04:30")

    with worker_beside(driven, server.address):
        assert driven.run("temporal", "schedule", "--now").exit_code == 0
        waiting = until(lambda: night(driven, At.WAITING))
        assert waiting["night"].startswith("perennial-night-")
        assert waiting["waiting_for_approval_since"] is not None
        assert (waiting["breaks_new"], waiting["accounts"][0]["account"]) == (1, "stripe")
        assert driven.json("temporal", "approve", "--dry-run")["at"] == At.WAITING
        assert driven.run("temporal", "approve").exit_code == 2, "it has to be confirmed"
        approved = driven.run("temporal", "approve", "--night", waiting["night"], "--yes")
        assert approved.exit_code == 0, approved.output
        done = until(lambda: night(driven, At.DONE))
        again = driven.run("temporal", "approve")

    assert done["night"] == waiting["night"]
    assert done["approved_by"] in driven.json("audit", "list")[0]["why"]
    assert again.exit_code == 2
    assert "doesn't wait for an approval" in again.stderr
    assert books(driven) == SETTLED


def night(world: World, at: At) -> Any:
    """Return the latest night if it stands there."""
    found = world.run("temporal", "show", "-o", "json")
    if found.exit_code:
        return None
    shown = json.loads(found.stdout)
    return shown if shown["at"] == at else None


def test_a_namespace_that_the_server_has_not_is_one_line(driven: World) -> None:
    done = driven.run("temporal", "worker", BILLING__TEMPORAL__NAMESPACE="elsewhere")

    assert done.exit_code == 2
    assert "Temporal has no namespace 'elsewhere'" in done.stderr
    assert "where: temporal.namespace" in done.stderr


def test_a_server_that_does_not_answer_is_one_line(world: World) -> None:
    address = f"127.0.0.1:{free_port()}"

    for command in COMMANDS:
        done = world.run("temporal", command, BILLING__TEMPORAL__ADDRESS=address)

        assert done.exit_code == 4
        assert f"Temporal doesn't answer at {address}" in done.stderr
        assert "Traceback" not in done.output


def test_without_the_extra_a_command_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(
        "billing.cli.commands.temporal.find_spec",
        lambda name: None if name == "temporalio" else there(name),
    )

    for command in COMMANDS:
        done = Cli(tmp_path).run("temporal", command)

        assert done.exit_code == 2
        assert "pip install 'perennial-billing[temporal]'" in done.stderr
