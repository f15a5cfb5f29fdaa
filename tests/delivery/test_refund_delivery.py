"""Refunds and captures through the real queue: a scheduler and a worker with threads."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest
import redis
from prometheus_client import CollectorRegistry

from billing.flows.payments import authorizations
from billing.rules.actor import Actor, ActorKind
from billing.rules.money import Money
from billing.sandbox import SandboxServer
from billing.store import due_work
from billing.store.payments import refunds
from billing.workers.daemons import charges
from billing.workers.daemons.scheduler import Scheduler
from billing.workers.runtime.clock import StoredClock
from billing.workers.runtime.metrics import ProcessMetrics
from billing.workers.runtime.runtime import Runtime
from tests.scenarios.money import balances, give_back, one_off, usd
from tests.scenarios.world import World
from tests.waiting import until


@pytest.fixture
def world(db_url: str, redis_url: str, sandbox: SandboxServer, tmp_path: Path) -> Iterator[World]:
    """A world whose messages go through Valkey."""
    world = World(db_url, sandbox.url, tmp_path / "catalog")
    settings = world.runtime.settings
    queue = settings.redis.model_copy(update={"url": redis_url})
    world.runtime.__dict__["settings"] = settings.model_copy(update={"redis": queue})
    yield world
    world.close()


@contextmanager
def working(world: World) -> Iterator[Scheduler]:
    """Run a worker in threads of this process, and hand out a scheduler to tick."""
    runtime = Runtime(world.runtime.settings)
    runtime.__dict__["clock"] = StoredClock(runtime.engine)
    metrics = ProcessMetrics(CollectorRegistry(), "worker", "0")
    stop = threading.Event()
    worker = threading.Thread(target=charges.run, args=(runtime, metrics, stop))
    worker.start()
    try:
        yield Scheduler(runtime, metrics)
    finally:
        stop.set()
        worker.join()
        runtime.close()


def until_quiet(world: World, scheduler: Scheduler) -> None:
    def quiet() -> bool:
        scheduler.tick()
        with world.engine.connect() as conn:
            return due_work.nothing_due(conn, world.now)

    until(quiet)


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
