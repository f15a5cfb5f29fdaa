"""Where the engine meets the world: commits and statements, calls of the provider, messages, time.

Each is a point of the schedule (`schedule.Schedule.reach`). The provider's sandbox answers in this
process, without a network: what a request does there is done by the time its answer is lost.
"""

import json
import types
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch
from urllib.parse import urlencode

import dramatiq
import psycopg
import redis
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.engine.default import DefaultDialect
from urllib3 import HTTPHeaderDict

from billing.gateway import Gateway
from billing.gateway.transport import TransportError
from billing.sandbox import SandboxServer
from billing.sandbox.http import Delivery, HttpAnswer, HttpRequest
from billing.workers.runtime.clock import StoredClock
from billing.workers.runtime.runtime import Runtime
from tests.repeatable import repeatable_ids
from tests.simulation.schedule import Schedule

CLOCKS: Final = timedelta(minutes=5)  # how far clocks are apart at most
COMMIT_FAULTS: Final = ("serialization failure", "connection lost before commit")
COMMITTED_FAULTS: Final = ("connection lost after commit",)
STATEMENT_FAULTS: Final = ("deadlock",)
CALL_FAULTS: Final = (
    "reset_before",
    "rate_limit_429",
    "error_500_uncommitted",
    "conflict_409",
    "error_500",
    "reset_after_commit",
    "truncated_body",
    "garbage_200",
)
MESSAGE_FAULTS: Final = ("redis down", "message lost", "message doubled")
FAULTS: Final = (
    *COMMIT_FAULTS,
    *COMMITTED_FAULTS,
    *STATEMENT_FAULTS,
    *CALL_FAULTS,
    *MESSAGE_FAULTS,
)

_DEADLOCK: Final = "DO $$ BEGIN RAISE EXCEPTION 'by the schedule' USING ERRCODE = '40P01'; END $$"
_LOCKING: Final = ("INSERT", "UPDATE", "DELETE", "WITH")

Json = dict[str, Any]


# --- the database -------------------------------------------------------------------------------


def _committing(schedule: Schedule) -> Any:
    def do_commit(dialect: Any, connection: Any) -> None:
        if schedule.running is None:
            connection.commit()
            return
        fate = schedule.reach("before commit", COMMIT_FAULTS, locks=True)
        if fate == "serialization failure":
            connection.rollback()
            raise psycopg.errors.SerializationFailure("could not serialize, by the schedule")
        if fate is not None:
            raise _lost(schedule, connection.driver_connection)
        with _waiting(schedule):
            connection.commit()
        schedule.running.commits += 1
        if schedule.reach("after commit", COMMITTED_FAULTS) is not None:
            raise _lost(schedule, connection.driver_connection)

    return do_commit


def _lost(schedule: Schedule, connection: Any) -> psycopg.OperationalError:
    backend = connection.info.backend_pid
    connection.close()
    schedule.ended(backend)
    return psycopg.OperationalError("the connection is lost, by the schedule")


def _executing(schedule: Schedule) -> Any:
    def do_execute(
        dialect: Any, cursor: Any, statement: Any, parameters: Any, _: Any = None
    ) -> None:
        commits = _is_transaction(schedule, cursor, statement)
        if commits:
            _before_commit(schedule, cursor)
        _before_statement(schedule, cursor, statement)
        with _waiting(schedule):
            cursor.execute(statement, parameters)
        if commits:
            _after_commit(schedule, cursor)

    return do_execute


def _is_transaction(schedule: Schedule, cursor: Any, statement: str) -> bool:
    """Tell whether a statement that writes is a transaction of its own."""
    by_actor = schedule.running is not None and cursor.connection.autocommit
    return by_actor and statement.lstrip().startswith(_LOCKING)


def _before_commit(schedule: Schedule, cursor: Any) -> None:
    fate = schedule.reach("before commit", COMMIT_FAULTS)
    if fate == "serialization failure":
        raise psycopg.errors.SerializationFailure("could not serialize, by the schedule")
    if fate is not None:
        raise _lost(schedule, cursor.connection)


def _after_commit(schedule: Schedule, cursor: Any) -> None:
    assert schedule.running is not None, "an actor runs"
    schedule.running.commits += 1
    if schedule.reach("after commit", COMMITTED_FAULTS) is not None:
        raise _lost(schedule, cursor.connection)


def _executing_many(schedule: Schedule) -> Any:
    def do_executemany(
        dialect: Any, cursor: Any, statement: Any, parameters: Any, _: Any = None
    ) -> None:
        _before_statement(schedule, cursor, statement)
        with _waiting(schedule):
            cursor.executemany(statement, parameters)

    return do_executemany


@contextmanager
def _waiting(schedule: Schedule) -> Iterator[None]:
    """Tell the schedule when a statement is done that may wait for a lock, also where it fails."""
    try:
        yield
    except psycopg.errors.QueryCanceled as error:
        raise psycopg.errors.DeadlockDetected("ended by the schedule") from error
    finally:
        schedule.waited()


def _before_statement(schedule: Schedule, cursor: Any, statement: str) -> None:
    if schedule.running is None:
        return
    schedule.statement(cursor.connection.info.backend_pid)
    if not (schedule.chances.faults.get("deadlock") and statement.lstrip().startswith(_LOCKING)):
        return
    if schedule.fails("statement", STATEMENT_FAULTS) is not None:
        cursor.execute(_DEADLOCK)


# --- time ---------------------------------------------------------------------------------------


class Time:
    """Stands in for the module `time`: it passes as the schedule says."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self.wall = datetime(2026, 1, 1, tzinfo=UTC)
        self.clocks_differ = True
        self._ticks = 0

    def monotonic(self) -> float:
        self._ticks += 1
        return self.wall.timestamp() + self._ticks * 1e-6

    perf_counter = monotonic

    def time_ns(self) -> int:
        self._ticks += 1
        return int(self.wall.timestamp() * 1e9) + self._ticks * 1_000_000

    def sleep(self, _: float) -> None:
        self._schedule.reach("pause")


_TIMED: Final = (
    "billing.flows.fence.time",
    "billing.workers.runtime.outcomes.time",
    "billing.workers.daemons.scheduler.time",
    "billing.workers.daemons.recorded.time",
    "billing.workers.daemons.charges.time",
    "billing.workers.daemons.refunds.time",
)


@contextmanager
def wired(schedule: Schedule, time: Time, seed: object) -> Iterator[None]:
    """Put the schedule between the engine and the world until the block is left."""
    with ExitStack() as stack:
        stack.enter_context(repeatable_ids(seed, time))
        stack.enter_context(patch.object(DefaultDialect, "do_commit", _committing(schedule)))
        stack.enter_context(patch.object(DefaultDialect, "do_execute", _executing(schedule)))
        stack.enter_context(
            patch.object(
                PGDialect_psycopg, "do_executemany", _executing_many(schedule), create=True
            )
        )
        # Actors are processes: a lock of one process holds up no other one.
        stack.enter_context(patch("billing.flows.fence._one_at_a_time", nullcontext()))
        for name in _TIMED:
            stack.enter_context(patch(name, time))
        yield


# --- the provider -------------------------------------------------------------------------------


class Provider:
    """The sandbox, in this process, without its threads."""

    def __init__(self, folder: Path, schedule: Schedule) -> None:
        self._server = SandboxServer(folder)
        self.url = self._server.url
        self._schedule = schedule

    def close(self) -> None:
        self._server.stop()

    def send(
        self, method: str, url: str, headers: Mapping[str, str], body: str | bytes | None, _: object
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """Answer a request of the engine, as `billing.gateway.transport.Transport.send` does."""
        path, _, query = url[len(self.url) :].partition("?")
        text = body.decode() if isinstance(body, bytes) else body or ""
        lower = {name.lower(): value for name, value in headers.items()}
        request = HttpRequest(method.upper(), path, query, lower, text)
        fault = self._schedule.reach("before the call", CALL_FAULTS)
        if fault is not None:
            self.control("faults", kind=fault, times=1)
        answer = self._server.respond(request)
        self._schedule.reach("after the call")
        return self._delivered(answer)

    def _delivered(self, answer: HttpAnswer) -> tuple[bytes, int, Mapping[str, str]]:
        self._server._gate._faults.clear()
        if answer.delivery is not Delivery.WHOLE:
            raise TransportError("connection", "by the schedule")
        content = answer.body if answer.file is None else answer.file.read_bytes()
        return content, answer.status, HTTPHeaderDict(answer.headers)

    def close_connections(self) -> None:
        """Do what a transport does at its end."""

    # --- in its dashboard -----------------------------------------------------------------------

    def control(self, page: str, method: str = "POST", **wanted: Any) -> Json:
        """Let something happen at the provider. Raises: Refused."""
        headers = {"content-type": "application/json"}
        body = json.dumps(wanted)
        return self._asked(HttpRequest(method, f"/_sandbox/{page}", "", headers, body))

    def act(self, what: str, **form: str) -> Json:
        """Do something to an object. Raises: Refused."""
        headers = {
            "authorization": "Bearer sk_test_dashboard",
            "content-type": "application/x-www-form-urlencoded",
        }
        return self._asked(HttpRequest("POST", f"/v1/{what}", "", headers, urlencode(form)))

    def show(self, what: str, query: str = "") -> Json:
        """Return an object or a page of a list."""
        headers = {"authorization": "Bearer sk_test_dashboard"}
        return self._asked(HttpRequest("GET", f"/v1/{what}", query, headers, ""))

    def all(self, what: str, query: str = "") -> list[Json]:
        """Return a complete list, oldest first."""
        found: list[Json] = []
        more = True
        while more:
            after = f"&starting_after={found[-1]['id']}" if found else ""
            page = self.show(what, f"limit=100{query and '&' + query}{after}")
            found += page["data"]
            more = page["has_more"]
        return found[::-1]

    def after(self, what: str, newest: str | None) -> list[Json]:
        """Return what was added to a list since an object of it, oldest first."""
        found: list[Json] = []
        while True:
            before = f"&ending_before={newest}" if newest else ""
            if newest is None:
                return self.all(what)
            page = self.show(what, f"limit=100{before}")
            found += page["data"][::-1]
            if not page["has_more"]:
                return found
            newest = page["data"][0]["id"]

    def _asked(self, request: HttpRequest) -> Json:
        answer = self._server.respond(request)
        found: Json = json.loads(answer.body)
        if answer.status != 200:
            raise Refused(f"{request.path}: {found}")
        return found


class Refused(Exception):
    """The provider's dashboard refuses."""


# --- messages -----------------------------------------------------------------------------------


class Queue:
    """Redis, as far as the engine uses it: messages that may be lost, doubled and late."""

    namespace = "simulation"

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self.messages: list[tuple[str, str]] = []
        self.client = types.SimpleNamespace(hlen=lambda _: len(self.messages))

    def enqueue(self, message: dramatiq.Message[Any]) -> None:
        """Take a message. Raises: redis.ConnectionError."""
        fate = self._schedule.reach("before the message", MESSAGE_FAULTS)
        if fate == "redis down":
            raise redis.ConnectionError("by the schedule")
        sent = (message.actor_name, str(message.args[0]))
        self.messages += [sent] * {"message lost": 0, "message doubled": 2}.get(fate or "", 1)
        self._schedule.reach("after the message")


# --- processes ----------------------------------------------------------------------------------


class SimulatedClock(StoredClock):
    """A process's own clock, a little apart from the others."""

    def __init__(self, time: Time, apart: timedelta) -> None:
        self._time = time
        self.apart = apart

    def now(self) -> datetime:
        return self._time.wall + (self.apart if self._time.clocks_differ else timedelta())

    wall = now

    def pinned(self) -> datetime | None:
        return self._time.wall


@dataclass(frozen=True)
class SimulatedRuntime(Runtime):
    """The parts of a process that lives in a simulation."""

    provider: Provider | None = None
    queue: Queue | None = None
    time: Time | None = None
    apart: timedelta = timedelta()

    @cached_property
    def clock(self) -> StoredClock:
        assert self.time is not None
        return SimulatedClock(self.time, self.apart)

    @cached_property
    def broker(self) -> Any:
        return self.queue

    def _connect(self, name: str) -> Gateway:
        gateway: Any = super()._connect(name)
        assert self.provider is not None
        gateway._http._transport = self.provider
        return gateway  # type: ignore[no-any-return]
