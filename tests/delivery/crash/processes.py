"""Processes that end at a point, as forks of one that sets the scene, and what goes on afterwards.

A fork has the engine's modules and compiled statements. It makes its own connections, so that the
process that waits for it keeps its own.
"""

import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.engine.default import DefaultDialect

from billing import crash_points
from billing.crash_points import CrashPoint
from billing.gateway import transport
from billing.store import due_work
from billing.workers.daemons import charges, refunds, taxes
from billing.workers.daemons.scheduler import Scheduler, Tick
from billing.workers.daemons.webhooks import Webhooks
from billing.workers.runtime.broker import CHARGE_ACTOR, CHARGES, TAX_ACTOR
from tests.scenarios.world import World, WorldRuntime
from tests.waiting import until

FAILED: Final = 70
ROUNDS: Final = 40
LONGEST_HOLD: Final = timedelta(hours=2)  # of any lease, window and pause
EFFECTS: Final = ("commit", "call", "message", "acknowledgement")
_WRITES: Final = re.compile(
    r"\b(INSERT\s+INTO|DELETE\s+FROM|MERGE\s+INTO|UPDATE\s+(ONLY\s+)?[\w.\"]+\s+(AS\s+)?(\w+\s+)?SET)\b",
    re.IGNORECASE,
)


def forked(world: World, work: Callable[[World], object], output: Path) -> int:
    """Let a fork do something with connections of its own; return how it ended, as `Popen` does."""
    pid = os.fork()
    if pid == 0:
        code = FAILED
        try:
            descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            work(_reconnected(world))
            code = 0
        except BaseException:  # noqa: BLE001  the other process tells it
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


_left_alone: Final[list[object]] = []  # connections of the other process, which must not be closed


def _reconnected(world: World) -> World:
    _left_alone.append(dict(world.runtime.__dict__))
    _left_alone.append(dict(world.__dict__))
    world.runtime = WorldRuntime(world.runtime.settings, world=world)
    world.engine, world.policy = world.runtime.engine, world.runtime.policy
    world.gateway, world.gateways = world.runtime.gateway, world.runtime.gateways
    world.psp = type(world.psp)(world.psp._url)
    return world


# --- dying --------------------------------------------------------------------------------------


def dying(work: Callable[[World], object], point: CrashPoint, nth: int) -> Callable[[World], None]:
    """Return the work, which ends with SIGKILL where it reaches the point for the nth time."""
    left, lock = [nth], threading.Lock()

    def act(reached: CrashPoint) -> None:
        with lock:  # of several threads, the first takes all with it
            left[0] -= reached == point
            if left[0] == 0:
                if point is CrashPoint.REQUEST_SENT:
                    _answered()
                os.kill(os.getpid(), signal.SIGKILL)

    def run(world: World) -> None:
        crash_points._act = act
        work(world)

    return run


def _answered() -> None:
    """Wait until the answer's first bytes are here: so the provider has done what it was asked."""
    import select

    watch = transport._current.watch
    select.select([watch.sock], [], [], 60)


# --- recording ----------------------------------------------------------------------------------


def recorded(work: Callable[[World], object], into: Path) -> Callable[[World], None]:
    """Return the work, which writes down points and durable effects, each with its thread."""

    def note(what: str) -> None:
        line = f"{threading.get_ident()}\t{what}\n".encode()
        os.write(file, line)

    file = os.open(into, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def run(world: World) -> None:
        _note_effects(note)
        crash_points._act = lambda point: note(f"point\t{point.name}")
        work(world)
        note("end\t")

    return run


def _note_effects(note: Callable[[str], None]) -> None:
    _note_commits(note)

    def noting(place: Any, name: str, effect: str, only: Callable[[Any], bool]) -> None:
        original = getattr(place, name)

        def wrapped(self: Any, *args: Any, **options: Any) -> Any:
            result = original(self, *args, **options)
            if only(self):
                note(f"{effect}\t{_where()}")
            return result

        setattr(place, name, wrapped)

    noting(transport._Watched, "getresponse", "call", lambda self: not self._reads_only)
    noting(RedisBroker, "enqueue", "message", bool)
    noting(_RedisConsumer, "ack", "acknowledgement", bool)


def _note_commits(note: Callable[[str], None]) -> None:
    wrote: set[int] = set()  # connections whose transaction has changed a row

    def looked(do: Callable[..., Any]) -> Callable[..., Any]:
        def execute(_: Any, cursor: Any, statement: Any, given: Any, __: Any = None) -> None:
            do(cursor, statement, given)
            if cursor.rowcount > 0 and _WRITES.search(statement):
                wrote.add(id(cursor.connection))

        return execute

    def commit(_: Any, connection: Any) -> None:
        connection.commit()
        if id(connection.driver_connection) in wrote:
            note(f"commit\t{_where()}")
        wrote.discard(id(connection.driver_connection))

    def rollback(_: Any, connection: Any) -> None:
        connection.rollback()
        wrote.discard(id(connection.driver_connection))

    one = looked(lambda cursor, *given: cursor.execute(*given))
    many = looked(lambda cursor, *given: cursor.executemany(*given))
    for place, name, does in (
        (DefaultDialect, "do_execute", one),
        (PGDialect_psycopg, "do_executemany", many),
        (DefaultDialect, "do_commit", commit),
        (DefaultDialect, "do_rollback", rollback),
    ):
        setattr(place, name, does)


def _where() -> str:
    """Return the innermost place in the engine."""
    places = [
        f"{frame.filename.rpartition('/billing/')[2]}:{frame.lineno}"
        for frame in traceback.extract_stack()
        if "/billing/" in frame.filename
    ]
    return places[-1] if places else "?"


def bare_gaps(trace: list[tuple[str, str, str]]) -> list[str]:
    """Return the pairs of durable effects of one thread that no point stands between."""
    last: dict[str, str | None] = {}
    found = []
    for thread, what, where in trace:
        if what == "point":
            last[thread] = None
        elif what in EFFECTS:
            before = last.get(thread)
            if before is not None:
                found.append(f"no point between {before} and {what} at {where}")
            last[thread] = f"{what} at {where}"
    return found


# --- going on -----------------------------------------------------------------------------------


def work(world: World) -> None:
    """Do what is in the queue, as a worker with threads."""
    stop = threading.Event()
    thread = threading.Thread(target=charges.run, args=(world.runtime, world.metrics, stop))
    thread.start()
    broker = world.runtime.broker
    until(lambda: not broker.client.hlen(f"{broker.namespace}:{CHARGES}.msgs"))
    stop.set()
    thread.join()


def restarted(world: World) -> None:
    """Do what scheduler, worker and loop of events do until all is at rest.

    Leases of those who died are over, and Redis brings their messages back.
    """
    world.wait(LONGEST_HOLD)
    scheduler = Scheduler(world.runtime, world.metrics)
    webhooks = Webhooks(world.runtime, world.metrics)
    for _ in range(ROUNDS):
        did = scheduler.tick()
        worked = drained(world)
        handled = webhooks.handle_due()
        with world.engine.connect() as conn:
            quiet = due_work.nothing_due(conn, world.now)
        if quiet and did == Tick() and not worked and not handled:
            return
        world.wait(LONGEST_HOLD)
    raise AssertionError("something stays due")


def _do(world: World, actor: str, row_id: UUID) -> None:
    if actor == TAX_ACTOR:
        taxes.send(world.runtime, row_id)
        return
    job: Any = charges.charge if actor == CHARGE_ACTOR else refunds.refund
    job(world.runtime, world.metrics, row_id)


def drained(world: World) -> int:
    """Do what is in the queue, in this thread; return how many messages that were."""
    broker = world.runtime.broker
    broker.maintenance_chance, broker.heartbeat_timeout = 1_000_000, 1
    consumer = broker.consume(CHARGES, timeout=1)
    done = 0
    while (message := next(consumer)) is not None:
        _do(world, message.actor_name, UUID(message.args[0]))
        consumer.ack(message)
        done += 1
    consumer.close()
    return done
