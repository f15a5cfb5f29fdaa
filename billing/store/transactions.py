"""A flow's transaction: its own, from the engine, or a part of its caller's."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from sqlalchemy import Connection, Engine, text


class Transactions(Protocol):
    """Begins transactions: an engine, or `Joined`."""

    def begin(self) -> AbstractContextManager[Connection]:
        """Begin a transaction; it is committed at the end, or rolled back on an exception."""
        ...


class Joined:
    """Makes a flow's transaction a part of the caller's: both are committed, or neither."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Begin a part that is rolled back alone on an exception."""
        with self._conn.begin_nested():
            yield self._conn


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """Open a read-only transaction on one snapshot, without a statement timeout."""
    with engine.connect() as pooled:
        conn = pooled.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with conn.begin():
            allow_time(conn)
            conn.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            yield conn


def allow_time(conn: Connection) -> None:
    """Let statements of this transaction take any time."""
    conn.execute(text("SET LOCAL statement_timeout = 0"))


def allow_memory(conn: Connection) -> None:
    """Let statements of this transaction sort and hash large sets in memory."""
    conn.execute(text("SET LOCAL work_mem = '64MB'"))
