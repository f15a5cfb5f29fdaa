"""Tasks: when each recurring job last ran and succeeded, and the instant up to which it is done."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from billing.store.rows import reader
from billing.store.tables import tasks


@dataclass(frozen=True, slots=True)
class Task:
    """When a recurring job last ran and succeeded; `watermark` is domain time, the others real."""

    task: str
    last_started_at: datetime
    last_success_at: datetime | None
    last_seconds: float | None
    watermark: datetime | None
    last_error: str | None


_read = reader(Task)


def started(conn: Connection, task: str, wall: datetime) -> None:
    """Record that a run of `task` began."""
    statement = insert(tasks).values(task=task, last_started_at=wall)
    conn.execute(
        statement.on_conflict_do_update(index_elements=["task"], set_={"last_started_at": wall})
    )


def succeeded(
    conn: Connection, task: str, wall: datetime, *, seconds: float, watermark: datetime
) -> None:
    """Record that a run succeeded, and the domain instant before which all its work is done."""
    values = {
        "last_success_at": wall,
        "last_seconds": seconds,
        "watermark": watermark,
        "last_error": None,
    }
    statement = insert(tasks).values(task=task, last_started_at=wall, **values)
    conn.execute(statement.on_conflict_do_update(index_elements=["task"], set_=values))


def failed(conn: Connection, task: str, wall: datetime, error: str) -> None:
    """Record that a run failed; the last success stays as it was."""
    statement = insert(tasks).values(task=task, last_started_at=wall, last_error=error)
    conn.execute(
        statement.on_conflict_do_update(index_elements=["task"], set_={"last_error": error})
    )


def all_tasks(conn: Connection) -> list[Task]:
    """Return every task's state."""
    return [_read(row) for row in conn.execute(select(tasks).order_by(tasks.c.task))]


def last_run(conn: Connection, task: str) -> Task | None:
    """Return the state of a task, or None where it never ran."""
    row = conn.execute(select(tasks).where(tasks.c.task == task)).one_or_none()
    return None if row is None else _read(row)


def watermark(conn: Connection, task: str) -> datetime | None:
    """Return the domain instant before which all of a task's work is done."""
    return conn.execute(select(tasks.c.watermark).where(tasks.c.task == task)).scalar()
