"""Where a flow's transaction comes from: its own from the engine, or one of its caller's."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from sqlalchemy import Connection


class Transactions(Protocol):
    """Begins transactions: an engine, or `Joined`."""

    def begin(self) -> AbstractContextManager[Connection]:
        """Begin one; it is committed at the end, or rolled back when something is raised."""
        ...


class Joined:
    """Makes a flow's transaction a part of the caller's: both are committed, or neither."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Begin a part that is rolled back alone when something is raised."""
        with self._conn.begin_nested():
            yield self._conn
