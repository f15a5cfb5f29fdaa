"""Connections: always UTC, always as the application role, never waiting without bound."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import psycopg
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, OperationalError

from billing.errors import BadInput, ErrorCode, Unavailable

APP_ROLE = "billing_app"


def sqlalchemy_url(url: str) -> URL:
    """Return `url` with psycopg 3 as its driver. Raises `BadInput` for what is no Postgres URL."""
    try:
        parsed = make_url(url)
    except Exception as error:
        raise BadInput(
            "the database URL can't be read",
            where="[database] url",
            code=ErrorCode.DATABASE_URL_UNREADABLE,
        ) from error
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise BadInput(
            f"{parsed.get_backend_name()} is not supported: billing runs on PostgreSQL",
            where="[database] url",
            code=ErrorCode.DATABASE_URL_UNREADABLE,
        )
    return parsed.set(drivername="postgresql+psycopg")


def make_engine(
    url: str,
    *,
    role: str | None = APP_ROLE,
    pool_size: int = 5,
    statement_timeout: timedelta = timedelta(seconds=30),
    point_queries: bool = False,
) -> Engine:
    """Return an engine whose connections run as `role` (INSERT and SELECT only on the ledger).

    Makes no connection yet. Connections aren't tested before use: after a restart of the server the
    first use fails, the pool replaces all others, and callers try again anyway. `point_queries`
    plans each prepared statement once, for programs that only ever look rows up by key: planning
    was a third of the server's time in a charge.
    """
    options = {
        "TimeZone": "UTC",
        "statement_timeout": str(int(statement_timeout.total_seconds() * 1000)),
        "idle_in_transaction_session_timeout": "60000",
        "lock_timeout": "10000",
    }
    if role:
        options["role"] = role
    if point_queries:
        options["plan_cache_mode"] = "force_generic_plan"
    return create_engine(
        sqlalchemy_url(url),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=30,
        hide_parameters=True,  # errors are logged, and values are personal data
        connect_args={
            "options": " ".join(f"-c {name}={value}" for name, value in options.items()),
            "connect_timeout": 5,
            "application_name": "billing",
        },
    )


@contextmanager
def reachable() -> Iterator[None]:
    """Turn a connection failure into `Unavailable`, the error a user can act on."""
    try:
        yield
    except OperationalError as error:
        if isinstance(error.orig, psycopg.OperationalError) and (
            error.connection_invalidated or not getattr(error.orig, "sqlstate", None)
        ):
            raise Unavailable(
                "the database does not answer: " + str(error.orig).strip().splitlines()[0],
                where="[database] url",
                code=ErrorCode.DATABASE_UNREACHABLE,
            ) from error
        raise


def is_deadlock(error: DBAPIError) -> bool:
    """Tell whether PostgreSQL ended the transaction because of a deadlock."""
    return isinstance(error.orig, psycopg.errors.DeadlockDetected)


def driver_connection(conn: Connection) -> "psycopg.Connection[tuple[object, ...]]":
    """Return the psycopg connection underneath, for COPY."""
    raw = conn.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)
    return raw
