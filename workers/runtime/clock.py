"""The only readers of the clock; everything else takes the time as an argument.

`now` is domain time: periods, ladders and the age of the provider's keys follow it. In sandbox mode
it is a test clock kept in Postgres, so that months pass in seconds for every process at once.
`wall` is real time, for leases and dispatch windows only: they have to run out while a test clock
stands still.
"""

from datetime import UTC, datetime

from sqlalchemy import Engine

from billing.store import clock as stored


class SystemClock:
    """Domain time is real time."""

    def now(self) -> datetime:
        """Return the system's time."""
        return self.wall()

    def wall(self) -> datetime:
        """Return the system's time."""
        return datetime.now(UTC)  # noqa: TID251  the one place

    def pinned(self) -> datetime | None:
        """Return None."""
        return None


class StoredClock:
    """Domain time is the test clock in Postgres; while none is set, the system's."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._system = SystemClock()

    def now(self) -> datetime:
        """Return the test clock's time, as of now in the database."""
        return self.pinned() or self._system.now()

    def wall(self) -> datetime:
        """Return the system's time."""
        return self._system.wall()

    def pinned(self) -> datetime | None:
        """Return the test clock's time, as of now in the database, if one was ever set."""
        with self._engine.connect() as conn:
            return stored.read(conn)
