"""The database for those who look after it: connections with other limits, and the schema."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Engine

from billing.config import Settings
from billing.store import guards, schema, tasks
from billing.store.engine import make_engine
from billing.workers.runtime.runtime import database_url

NO_TIMEOUT: Final = timedelta(0)


@contextmanager
def owners_engine(settings: Settings) -> Iterator[Engine]:
    """Connect as the URL's own user, without becoming the application role."""
    url = database_url(settings, owner=True)
    engine = make_engine(url, role=None, pool_size=1, statement_timeout=NO_TIMEOUT)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def engine_for_long_reads(settings: Settings) -> Iterator[Engine]:
    """Connect as the application role, with no limit on how long a statement may take."""
    role = settings.database.role or None
    engine = make_engine(database_url(settings), role=role, statement_timeout=NO_TIMEOUT)
    try:
        yield engine
    finally:
        engine.dispose()


def migrate(settings: Settings) -> None:
    """Bring the schema forward to what this program needs, all or nothing.

    Raises `Unavailable`, `BillingError`.
    """
    schema.migrate(database_url(settings, owner=True))


def put_guards_back(settings: Settings) -> list[str]:
    """Let triggers and foreign keys hold as they were made; return the tables where one didn't.

    Raises `Unavailable`, `BillingError`.
    """
    with owners_engine(settings) as engine, schema.all_or_nothing(), engine.begin() as conn:
        return guards.put_back(conn)


def try_to_write(engine: Engine, wall: datetime) -> None:
    """Write one row and roll it back. Raises what the database raises where it takes no writes."""
    with engine.connect() as conn:
        tasks.started(conn, "doctor", wall)
        conn.rollback()
