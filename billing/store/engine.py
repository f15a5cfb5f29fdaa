"""Connections: always UTC, always as the application role, never waiting without bound."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.exc import DBAPIError, OperationalError

from billing.errors import BadInput, ErrorCode, Unavailable
from billing.store import session
from billing.store.prepared import STALE, drop_prepared, keep_prepared

APP_ROLE = "billing_app"
_OPTIONS_REFUSED: Final = "unsupported startup parameter"  # as pgbouncer says it
_SEVERAL_HOSTS: Final = re.compile(
    r"^(?P<scheme>[a-z+]+://)(?P<user>[^/?#]*@)?(?P<hosts>[^@/?#]*,[^@/?#]*)(?P<path>/[^?#]*)?"
    r"(?:\?(?P<query>.*))?$"
)


def sqlalchemy_url(url: str) -> URL:
    """Return `url` with psycopg 3 as its driver. Raises `BadInput` for what is no Postgres URL.

    Takes libpq's forms: the scheme `postgres`, and several hosts separated by commas.
    """
    try:
        parsed = make_url(_SEVERAL_HOSTS.sub(_hosts_in_query, url))
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


def _hosts_in_query(found: "re.Match[str]") -> str:
    """Write several hosts as SQLAlchemy reads them: host=a:5432&host=b:5432."""
    hosts = "&".join(f"host={host}" for host in found["hosts"].split(","))
    query = "&".join(part for part in (found["query"], hosts) if part)
    return f"{found['scheme']}{found['user'] or ''}{found['path'] or '/'}?{query}"


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
    mark = session.new_mark()
    sent = {**options, session.MARK: mark}
    connect_args = {
        "options": " ".join(f"-c {name}={value}" for name, value in sent.items()),
        "connect_timeout": 5,
        "application_name": "billing",
    }
    engine = create_engine(
        sqlalchemy_url(url),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=30,
        hide_parameters=True,  # errors are logged, and values are personal data
        connect_args=connect_args,
        use_native_hstore=False,  # no column is one; the server was asked at the first connection
    )
    _verify_sessions(engine, options, mark, connect_args)
    event.listen(engine, "handle_error", _drop_stale)
    return engine


def _drop_stale(context: ExceptionContext) -> None:
    if context.connection is not None and isinstance(context.original_exception, STALE):
        drop_prepared(driver_connection(context.connection))


def _verify_sessions(
    engine: Engine, options: Mapping[str, str], mark: str, connect_args: Mapping[str, object]
) -> None:
    """Verify what each new connection relies on; behind a pooler, its mode too, once."""
    checked = False

    def another() -> "psycopg.Connection[Any]":
        positional, named = engine.dialect.create_connect_args(engine.url)
        return psycopg.connect(*positional, **{**named, **connect_args})

    @event.listens_for(engine, "connect")
    def verify(connection: "psycopg.Connection[Any]", _: object) -> None:
        nonlocal checked
        keep_prepared(connection)
        try:
            direct = session.verify(connection, options, mark)
            if not direct and not checked:
                session.refuse_transaction_pooling(another)
                checked = True
        except psycopg.OperationalError as error:
            if error.sqlstate:
                raise
            raise _unreachable(error) from error  # it broke between its making and its use


@contextmanager
def reachable() -> Iterator[None]:
    """Turn a connection failure into `Unavailable`, the error a user can act on."""
    try:
        yield
    except OperationalError as error:
        if isinstance(error.orig, psycopg.OperationalError) and (
            error.connection_invalidated or not getattr(error.orig, "sqlstate", None)
        ):
            raise _unreachable(error.orig) from error
        raise


def settings_refused(error: BaseException | None) -> bool:
    """Tell whether a pooler refused the settings in the startup packet."""
    return isinstance(error, psycopg.OperationalError) and _OPTIONS_REFUSED in str(error)


def _unreachable(error: psycopg.Error) -> Unavailable:
    if settings_refused(error):
        return Unavailable(
            "a pooler before the database refuses the settings of a connection: set its"
            " ignore_startup_parameters = options",
            where="[database] url",
            code=ErrorCode.DATABASE_SESSION,
        )
    return Unavailable(
        "the database does not answer: " + (str(error).strip().splitlines() or ["no reason"])[0],
        where="[database] url",
        code=ErrorCode.DATABASE_UNREACHABLE,
    )


def is_deadlock(error: DBAPIError) -> bool:
    """Tell whether PostgreSQL ended the transaction because of a deadlock."""
    return isinstance(error.orig, psycopg.errors.DeadlockDetected)


def driver_connection(conn: Connection) -> "psycopg.Connection[tuple[object, ...]]":
    """Return the psycopg connection underneath, for COPY."""
    raw = conn.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)
    return raw
