"""A world whose messages go through Valkey, and the processes that send and receive them."""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

from prometheus_client import CollectorRegistry

from billing.store import due_work
from billing.workers.daemons import charges
from billing.workers.daemons.scheduler import Scheduler
from billing.workers.runtime.clock import StoredClock
from billing.workers.runtime.metrics import ProcessMetrics
from billing.workers.runtime.runtime import Runtime
from tests.scenarios.world import World
from tests.waiting import until


def through_queue(world: World, redis_url: str) -> None:
    """Send the messages of a world through Valkey."""
    settings = world.runtime.settings
    queue = settings.redis.model_copy(update={"url": redis_url})
    world.runtime.__dict__["settings"] = settings.model_copy(update={"redis": queue})


@contextmanager
def parts(world: World) -> Iterator[tuple[Runtime, ProcessMetrics]]:
    """What one process of its own works with: its connections, its broker, its metrics."""
    with closing(Runtime(world.runtime.settings)) as runtime:
        runtime.__dict__["clock"] = StoredClock(runtime.engine)
        yield runtime, ProcessMetrics(CollectorRegistry(), "test", "0")


@contextmanager
def worker(world: World) -> Iterator[None]:
    """A Dramatiq worker with threads, on the queue in Valkey."""
    stop = threading.Event()
    with parts(world) as (runtime, metrics):
        thread = threading.Thread(target=charges.run, args=(runtime, metrics, stop))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def until_quiet(world: World, scheduler: Scheduler) -> None:
    """Let a scheduler tick until workers have done all that is due."""

    def quiet() -> bool:
        scheduler.tick()
        with world.engine.connect() as conn:
            return due_work.nothing_due(conn, world.now)

    until(quiet)
