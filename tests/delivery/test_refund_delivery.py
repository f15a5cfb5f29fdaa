"""Refunds and captures through the real queue: a scheduler and a worker with threads."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest
import redis

from billing.flows.payments import authorizations
from billing.rules.actor import Actor, ActorKind
from billing.rules.money import Money
from billing.sandbox import SandboxServer
from billing.store.payments import refunds
from billing.workers.daemons.scheduler import Scheduler
from tests.scenarios.money import balances, give_back, one_off, usd
from tests.scenarios.queued import parts, through_queue, until_quiet, worker
from tests.scenarios.world import World


@pytest.fixture
def world(db_url: str, redis_url: str, sandbox: SandboxServer, tmp_path: Path) -> Iterator[World]:
    """A world whose messages go through Valkey."""
    world = World(db_url, sandbox.url, tmp_path / "catalog")
    through_queue(world, redis_url)
    yield world
    world.close()


@contextmanager
def working(world: World) -> Iterator[Scheduler]:
    """Run a worker in threads of this process, and hand out a scheduler to tick."""
    with worker(world), parts(world) as (runtime, metrics):
        yield Scheduler(runtime, metrics)


def states(world: World, ids: list[UUID]) -> set[str]:
    with world.engine.connect() as conn:
        rows = [refunds.get(conn, found) for found in ids]
    return {row.state for row in rows if row is not None}


def test_refunds_and_captures_are_done_by_the_workers_of_the_charges(
    world: World, redis_url: str
) -> None:
    paid = one_off(world, usd(5000))
    held = one_off(world, usd(3000), capture_method="manual")
    with working(world) as scheduler:
        until_quiet(world, scheduler)
        with world.engine.begin() as conn:
            authorizations.request_capture(
                conn,
                held,
                amount=Money(1800, "USD"),
                now=world.now,
                actor=Actor(ActorKind.CLI, "operator"),
            )
        asked = [give_back(world, paid, usd(100)) for _ in range(20)]
        with redis.Redis.from_url(redis_url) as client:
            client.flushall()  # a lost message is sent again
        until_quiet(world, scheduler)

    assert states(world, asked) == {"succeeded"}
    assert balances(world) == {
        "psp_clearing": 5000 - 2000 + 1800,
        "revenue": -(5000 + 1800),
        "refunds_contra": 2000,
    }
    world.assert_everything_adds_up()
