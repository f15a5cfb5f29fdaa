"""What is done to the processes of a soak, and how often.

Everything has a pace of its own and is struck at random times, for the first time in the first
fifth of the run. The last process of each role is spared afterwards: it meets all that befalls the
servers and the provider, and lives long enough for what it holds to be judged.
"""

import contextlib
import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import psycopg
import redis
from sqlalchemy.exc import SQLAlchemyError

from billing.errors import Unavailable
from billing.workers.demo import world
from billing.workers.demo.world import InjectedFaults
from billing.workers.runtime.broker import redis_client
from billing.workers.runtime.runtime import database_url, redis_url
from tests.delivery.chaos import Losing, misfortunes
from tests.delivery.engine_under_test import EngineUnderTest

# The mean seconds between two strikes. PostgreSQL forgets its statistics when it crashes, and
# without them it doesn't vacuum: that it is killed stays rare.
FIRST: Final = 0.2
PROCESS: Final = 60.0
PACES: Final[Mapping[str, float]] = {
    "lost answers": 10.0,
    "doubled messages": 5.0,
    "database connections": 12.0,
    "Valkey connections": 20.0,
    "FLUSHALL": 30.0,
    "valkey": 60.0,
    "sandbox": 90.0,
    "PostgreSQL restarted": 120.0,
    "postgres": 600.0,
}


@dataclass(slots=True)
class Strike:
    """Something that is struck: how, how often on average, when next and until when (seconds)."""

    strike: Callable[[], bool]
    pace: float
    next_at: float
    until: float


class Strikes:
    """Strikes what is due. Times are seconds since the run began."""

    def __init__(self, engine: EngineUnderTest, losing: Losing, seed: int, seconds: float) -> None:
        self.struck: Counter[str] = Counter()
        self._engine = engine
        self._rng = random.Random(seed)
        self._doubled = InjectedFaults()
        self.spared = spared(engine.names)
        first = seconds * FIRST
        what = {
            **misfortunes(engine, losing),
            "doubled messages": self._double_messages,
            "database connections": self._cut_database,
            "Valkey connections": self._cut_queue,
            "PostgreSQL restarted": self._restart_database,
        }
        self._strikes = {
            name: Strike(
                strike,
                PACES.get(name, PROCESS),
                self._rng.uniform(0, first * 0.8),
                first if name in self.spared else seconds,
            )
            for name, strike in what.items()
        }

    def strike(self, at: float) -> None:
        """Strike one thing, if one is due."""
        for name, each in self._strikes.items():
            if each.next_at <= at < each.until:
                if each.strike():
                    self.struck[name] += 1
                    each.next_at = at + self._rng.uniform(0.3, 1.7) * each.pace
                else:
                    each.next_at = at + 1
                return

    def missing(self) -> list[str]:
        """Return what was never struck."""
        return sorted(set(self._strikes) - set(self.struck))

    # --- strikes of a soak ----------------------------------------------------------------------

    def _double_messages(self) -> bool:
        before = self._doubled.duplicated_messages
        with contextlib.suppress(SQLAlchemyError, redis.RedisError, Unavailable):
            world.double_messages(self._engine.runtime, self._rng, self._doubled)
        return self._doubled.duplicated_messages > before

    def _cut_database(self) -> bool:
        """End some connections of the engine's, as a network or an administrator does."""
        query = (
            "SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            " ORDER BY random() LIMIT 3) AS chosen"
        )
        with contextlib.suppress(psycopg.OperationalError, Unavailable):
            url = database_url(self._engine.settings, owner=True)
            with psycopg.connect(url, connect_timeout=2, autocommit=True) as conn:
                row = conn.execute(query).fetchone()
                return row is not None and row[0] > 0
        return False

    def _cut_queue(self) -> bool:
        with contextlib.suppress(redis.RedisError, Unavailable):
            with redis_client(redis_url(self._engine.settings)) as client:
                client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            return True
        return False

    def _restart_database(self) -> bool:
        """Have PostgreSQL stop as an upgrade does; it is started again."""
        pid = pids(self._engine).get("postgres")
        if pid is None:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
        return True


def spared(names: list[str]) -> list[str]:
    """Return the last process of each role, from names like `worker-3`."""
    last = {name.rpartition("-")[0]: name for name in sorted(names) if "-" in name}
    return sorted(last.values())


def pids(engine: EngineUnderTest) -> dict[str, int]:
    """Return the process of every child that runs at the moment."""
    assert engine._supervisor is not None
    return {each.name: each.pid for each in engine._supervisor.status() if each.pid is not None}
