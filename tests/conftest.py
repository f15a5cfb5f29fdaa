"""Real servers for the tests that ask for them. A test that asks for none starts none.

Tests run in several processes (pytest-xdist). Each process has a PostgreSQL and a Valkey of its
own, without fsync, on ports of their own. Every test that takes `engine` or `db_url` gets a
database of its own, copied from one that was migrated once.
"""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import hypothesis
import psycopg
import pytest
from psycopg import sql

from tests.waiting import PATIENCE, until

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from billing.embedded.servers import EmbeddedPostgres, EmbeddedValkey
    from billing.sandbox import SandboxServer

TEMPLATE = "migrated"


class Admin(psycopg.Connection[tuple[object, ...]]):
    """A connection that makes and drops databases, as soon as nobody uses them any more.

    PostgreSQL itself waits five seconds for a backend that was asked to leave.
    """

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Execute a statement as `psycopg.Connection` does."""

        def executed() -> Any:
            try:
                return super(Admin, self).execute(*args, **kwargs)
            except psycopg.errors.ObjectInUse:
                return None

        return until(executed, args[0])


# An example may take as long as it does on a busy machine.
hypothesis.settings.register_profile(
    "patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
# A mutant's first failure ends its tests, so there is nothing to shrink or to explain.
hypothesis.settings.register_profile(
    "mutants",
    hypothesis.settings.get_profile("patient"),
    derandomize=True,
    database=None,
    max_examples=40,
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
)
hypothesis.settings.load_profile("patient")


@pytest.fixture(scope="session")
def pg_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator["EmbeddedPostgres"]:
    """A PostgreSQL server for the whole run, gone with its data afterwards."""
    from billing.embedded.servers import EmbeddedPostgres

    server = EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), durable=False)
    try:
        yield server.start(PATIENCE)
    finally:
        server.destroy()


@pytest.fixture(scope="session")
def pg_url(pg_server: "EmbeddedPostgres") -> str:
    """The URL of that server's first database, which no test changes."""
    return pg_server.url()


@pytest.fixture(scope="session")
def admin(pg_url: str) -> Iterator[Admin]:
    """A connection that makes and drops databases."""
    with Admin.connect(pg_url, autocommit=True) as conn:
        conn.execute("ALTER SYSTEM SET autovacuum = off")  # it would use the template
        conn.execute("SELECT pg_reload_conf()")
        yield conn


@pytest.fixture(scope="session")
def template_db(pg_server: "EmbeddedPostgres", admin: Admin) -> str:
    """The name of a migrated database to copy."""
    from billing.store.schema import migrate

    admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
    migrate(pg_server.url(TEMPLATE))
    return TEMPLATE


_numbers = count(1)


@pytest.fixture
def db_url(pg_server: "EmbeddedPostgres", admin: Admin, template_db: str) -> Iterator[str]:
    """The owner's URL of this test's own migrated database."""
    name = sql.Identifier(f"test_{next(_numbers)}")
    copy = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
    admin.execute(copy.format(name, sql.Identifier(template_db)))
    yield pg_server.url(name.as_string().strip('"'))
    admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@pytest.fixture
def engine(db_url: str) -> Iterator["Engine"]:
    """This test's own database, as the application sees it."""
    from billing.store.engine import make_engine

    engine = make_engine(db_url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator["EmbeddedValkey"]:
    """A Valkey server for the whole run."""
    from billing.embedded.servers import EmbeddedValkey

    server = EmbeddedValkey(tmp_path_factory.mktemp("valkey"), durable=False)
    try:
        yield server.start(PATIENCE)
    finally:
        server.destroy()


@pytest.fixture
def redis_url(valkey: "EmbeddedValkey") -> str:
    """The URL of the Valkey server, emptied for this test."""
    import redis

    with redis.Redis.from_url(valkey.url) as client:
        client.flushall()
    return valkey.url


@pytest.fixture
def sandbox() -> Iterator["SandboxServer"]:
    """A provider of this test's own, running."""
    from billing.sandbox import SandboxServer

    with TemporaryDirectory() as folder, SandboxServer(Path(folder)) as server:
        yield server
