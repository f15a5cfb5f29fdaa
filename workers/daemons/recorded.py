"""Recording how a run of a recurring task ended, for `billing status` and the metrics."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.exc import SQLAlchemyError

from billing.crash_points import CrashPoint, marked
from billing.errors import BillingError, first_line
from billing.store import tasks
from billing.workers.runtime.runtime import Runtime

WORDS_MAX = 500


@dataclass(slots=True)
class Run:
    """A run under way. `done_until` is the domain instant before which all its work is done.

    A run that leaves it at None records no success.
    """

    done_until: datetime | None = None


@contextlib.contextmanager
def recorded(runtime: Runtime, task: str) -> Iterator[Run]:
    """Record a task's success at the end of the block, or the error that ended it."""
    run, started = Run(), time.monotonic()
    try:
        yield run
    except Exception as error:
        record_failure(runtime, task, first_line(error))
        raise
    if run.done_until is None:
        return
    seconds = time.monotonic() - started
    with marked(CrashPoint.TASK_RECORDED), runtime.engine.begin() as conn:
        wall = runtime.clock.wall()
        tasks.succeeded(conn, task, wall, seconds=seconds, watermark=run.done_until)


def record_failure(runtime: Runtime, task: str, words: str) -> None:
    """Record an error for `billing status`, unless the database is unreachable."""
    with (
        contextlib.suppress(SQLAlchemyError, BillingError),
        marked(CrashPoint.TASK_FAILURE_RECORDED),
        runtime.engine.begin() as conn,
    ):
        tasks.failed(conn, task, runtime.clock.wall(), words[:WORDS_MAX])
