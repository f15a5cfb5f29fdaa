"""The test clock: one row that only goes forward, read by every process in sandbox mode."""

from datetime import datetime

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from billing.store.tables import test_clock


def read(conn: Connection) -> datetime | None:
    """Return the test clock's instant, or None where time is the system's."""
    return conn.execute(select(test_clock.c.now)).scalar()


def put(conn: Connection, now: datetime) -> None:
    """Set the test clock; the database refuses to turn it back."""
    statement = insert(test_clock).values(id=1, now=now)
    conn.execute(statement.on_conflict_do_update(index_elements=["id"], set_={"now": now}))
