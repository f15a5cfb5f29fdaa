"""What the database engines of all tests in one process share: each statement is compiled once.

A program makes one engine and compiles each of its statements once. Tests make one engine each,
and would compile everything again: a quarter of their time. Nor does a program make connections
all the time: those to a database that is used again go from engine to engine.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Final

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Engine, QueuePool, create_engine

from billing.store import prepared, session

_made: Final[list[Engine]] = []  # the one whose dialect and compiled statements others share

Driver = psycopg.Connection[Any]


class Idle:
    """Connections of engines that were disposed of, as they were when they began."""

    def __init__(self) -> None:
        self._free: dict[str, dict[str, list[Driver]]] = {}
        self._options: dict[Driver, tuple[str, str]] = {}
        self._again: set[Driver] = set()

    @contextmanager
    def keeping(self, database: str) -> Iterator[None]:
        """Keep connections to a database, until the block is left."""
        self._free[database] = {}
        yield
        kept = self._free.pop(database)
        for conn in (each for connections in kept.values() for each in connections):
            conn.close()
        for conn in [each for each, (known, _) in self._options.items() if known == database]:
            del self._options[conn]
            self._again.discard(conn)

    def keeps(self, database: str | None) -> bool:
        """Tell whether connections to this database are kept."""
        return database in self._free

    def is_used_again(self, conn: Driver) -> bool:
        """Tell whether a connection has statements that another engine prepared."""
        return conn in self._again

    def backends(self, database: str) -> list[int]:
        """Return the server's processes of the connections that nobody uses now."""
        kept = self._free[database].values()
        return [each.info.backend_pid for connections in kept for each in connections]

    def take(self, database: str, options: str, mark: str, make: Callable[[], Driver]) -> Driver:
        """Return a connection with these options: a kept one, or a new one."""
        free = self._free.get(database, {}).get(options, [])
        while free:
            conn = free.pop()
            if _done(conn, f"SET {session.MARK} = '{mark}'"):
                self._again.add(conn)
                return conn
            conn.close()
        conn = make()
        self._options[conn] = (database, options)
        return conn

    def put(self, conn: Driver) -> bool:
        """Keep a connection, if it is good for another engine. Return whether it is kept."""
        database, options = self._options.get(conn, ("", ""))
        if not self.keeps(database) or conn.closed or conn.autocommit:
            return False
        if not _done(conn, "RESET ALL; RESET ROLE; SELECT pg_advisory_unlock_all()"):
            return False
        conn._notice_handlers.clear()
        conn.prepared_max = None
        conn.prepare_threshold = 1
        self._free[database].setdefault(options, []).append(conn)
        return True


def _done(conn: Driver, statements: str) -> bool:
    """Execute something between transactions, and return whether that went well."""
    if conn.pgconn.transaction_status != TransactionStatus.IDLE:
        return False
    with suppress(psycopg.Error):
        conn.pgconn.exec_(statements.encode())
        return conn.pgconn.transaction_status == TransactionStatus.IDLE
    return False


IDLE: Final = Idle()


class _Pool(QueuePool):
    """Keeps what it closes, for the next engine."""

    def _close_connection(self, connection: Any, *, terminate: bool = False) -> None:
        if terminate or not IDLE.put(connection):
            super()._close_connection(connection, terminate=terminate)


def keep_prepared(connection: Driver) -> None:
    """Let a new connection keep its prepared statements, as `store.prepared` does."""
    if not IDLE.is_used_again(connection):
        prepared.keep_prepared(connection)


def sharing(url: Any, **options: Any) -> Engine:
    """Make an engine with a pool of its own, as `sqlalchemy.create_engine` does."""
    if not (_made and hasattr(_made[0].dialect, "server_version_info")):
        _made[:] = [create_engine(url, **options)]  # it asks the server at its first connection
        return _made[0]
    if IDLE.keeps(url.database):
        options["poolclass"] = _Pool
    engine = create_engine(url, **options, _initialize=False)
    engine.dialect = engine.pool._dialect = _made[0].dialect
    engine._compiled_cache = _made[0]._compiled_cache
    if IDLE.keeps(url.database):
        given, mark = options["connect_args"]["options"].split(f" -c {session.MARK}=")
        pool: Any = engine.pool
        pool._creator = partial(
            IDLE.take, url.database, f"{url.username} {given}", mark, pool._creator
        )
    return engine
