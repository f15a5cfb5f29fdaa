"""Real servers for the tests that ask for them. A test that asks for none starts none.

Tests run in several processes (pytest-xdist). Each process has a PostgreSQL and a Valkey of its
own, without fsync, on ports of their own. Every test that takes `engine` or `db_url` gets a
database of its own, copied from one that was migrated once.
"""

import gc
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from zlib import crc32

import hypothesis
import psycopg
import pytest
from psycopg import sql
from psycopg._queries import _query2pg_nocache

from tests.databases import Copies, copy_database
from tests.engines import keep_prepared, sharing
from tests.kept import Kept
from tests.order import slow_first
from tests.repeatable import SEED, USUAL, repeatable_ids
from tests.shares import WHOLE, repeated
from tests.waiting import PATIENCE, until

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from billing.embedded.servers import EmbeddedPostgres, EmbeddedValkey
    from billing.sandbox import SandboxServer

TEMPLATE = "migrated"
PREPARED = "prepared"


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


# An example may take as long as it does on a busy machine. Examples are the same ones in every run
# of a seed.
hypothesis.settings.register_profile(
    "patient",
    deadline=None,
    derandomize=SEED == USUAL,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
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


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Let Hypothesis's examples follow from the seed, unless they were given one of their own."""
    gc.disable()  # there is none while tests are collected
    if SEED != USUAL and config.getoption("--hypothesis-seed") is None:
        config.option.hypothesis_seed = str(crc32(SEED.encode()))


def pytest_collection_finish() -> None:
    """Look for garbage from here on, rarely, and not again and again among all tests there are."""
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)
    gc.enable()


def pytest_report_header() -> str:
    """Return how to run the same tests with the same chance again."""
    which = "all cases that are made in bulk" if WHOLE else "a share of the cases made in bulk"
    return f"again: {repeated()} make pytest ({which})"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the slow tests first, where several processes share the tests."""
    processes = getattr(config, "workerinput", {}).get("workercount", 1)
    if processes > 1:
        items[:] = slow_first(items, processes)


@pytest.fixture(scope="session")
def _shared_statements() -> Iterator[None]:
    """Let every engine for a database use statements that were compiled for another.

    A process of tests executes more statements, and longer ones, than psycopg remembers.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("billing.store.engine.create_engine", sharing)
        patch.setattr("billing.store.engine.keep_prepared", keep_prepared)
        patch.setattr("psycopg._queries._query2pg", lru_cache(4096)(_query2pg_nocache))
        patch.setattr("psycopg._queries.MAX_CACHED_STATEMENT_LENGTH", 100_000)
        yield


@pytest.fixture(scope="session")
def pg_server(
    tmp_path_factory: pytest.TempPathFactory, _shared_statements: None
) -> Iterator["EmbeddedPostgres"]:
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


@pytest.fixture(scope="session")
def prepared_db(pg_server: "EmbeddedPostgres", admin: Admin, template_db: str) -> str:
    """The name of a migrated database to copy, in which a scenario may begin."""
    from billing.store.engine import make_engine
    from tests.scenarios.world import prepare

    copy_database(admin, template_db, PREPARED)
    engine = make_engine(pg_server.url(PREPARED))
    prepare(engine)
    engine.dispose()
    return PREPARED


@pytest.fixture(scope="session")
def copies(admin: Admin) -> Callable[[str], Copies]:
    """Return the copies of a database, by its name."""
    return cache(lambda template: Copies(admin, template))


@pytest.fixture(scope="session")
def kept(
    pg_server: "EmbeddedPostgres", copies: Callable[[str], Copies]
) -> Iterator[Callable[..., Kept]]:
    """Return what lends a copy of a database to test after test, by the name of the database."""
    made: dict[str, Kept] = {}

    def of(template: str, *last: sql.SQL) -> Kept:
        if template not in made:
            made[template] = Kept(copies(template), pg_server.url, *last)
        return made[template]

    yield of
    for each in made.values():
        each.close()


@pytest.fixture
def _repeatable_ids(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let what this test makes have the ids that follow from its name."""
    with repeatable_ids(f"{SEED} {request.node.nodeid}"):
        yield


@pytest.fixture
def db_url(
    pg_server: "EmbeddedPostgres",
    copies: Callable[[str], Copies],
    template_db: str,
    _repeatable_ids: None,
) -> Iterator[str]:
    """The owner's URL of this test's own migrated database."""
    with copies(template_db).copied() as name:
        yield pg_server.url(name)


@pytest.fixture
def prepared_url(
    pg_server: "EmbeddedPostgres",
    copies: Callable[[str], Copies],
    prepared_db: str,
    _repeatable_ids: None,
) -> Iterator[str]:
    """The owner's URL of this test's own database, in which a scenario may begin."""
    with copies(prepared_db).copied() as name:
        yield pg_server.url(name)


@pytest.fixture
def apart() -> None:
    """Asked for by a test that copies its database: then nothing else is connected to it."""


@pytest.fixture
def kept_url(
    request: pytest.FixtureRequest,
    pg_server: "EmbeddedPostgres",
    copies: Callable[[str], Copies],
    kept: Callable[..., Kept],
    prepared_db: str,
    _repeatable_ids: None,
) -> Iterator[str]:
    """The owner's URL of a database as if it were this test's own; a scenario may begin in it."""
    own = "apart" in request.fixturenames
    with copies(prepared_db).copied() if own else kept(prepared_db).lent() as name:
        yield pg_server.url(name)


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
