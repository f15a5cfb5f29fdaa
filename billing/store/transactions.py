"""A flow's transaction: its own, from the engine, or a part of its caller's."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from sqlalchemy import Connection


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
