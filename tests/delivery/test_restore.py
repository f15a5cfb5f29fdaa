"""A database is set back under running processes, while they charge."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from psycopg import sql
from sqlalchemy.engine import make_url

from billing.cli.failures import UNAVAILABLE
from billing.errors import Unavailable
from billing.store import fences
from billing.workers.up.advance import set_clock
from tests.conftest import Admin
from tests.delivery.engine_under_test import START, EngineUnderTest, patiently
from tests.delivery.turns import in_turn
from tests.waiting import PATIENCE


class Backup:
    """A copy of a database that others go on using, and its way back under the same name."""

    def __init__(self, admin: Admin, url: str) -> None:
        name = make_url(url).database
        assert name is not None
        self._admin, self._name = admin, name

    def take(self) -> None:
        """Copy the database as it is now; connections to it are cut."""
        with self._nobody():
            self._run("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy", "_backup", "")

    def restore(self) -> None:
        """Put the copy in the place of the database; connections to that are cut."""
        with self._nobody():
            self._run("ALTER DATABASE {} RENAME TO {}", "", "_lost")
            self._run("ALTER DATABASE {} RENAME TO {}", "_backup", "")

    def drop(self) -> None:
        """Drop what isn't the database any more."""
        self._run("DROP DATABASE IF EXISTS {} WITH (FORCE)", "_lost")
        self._run("DROP DATABASE IF EXISTS {} WITH (FORCE)", "_backup")

    def _run(self, statement: str, *suffixes: str) -> None:
        names = [sql.Identifier(self._name + suffix) for suffix in suffixes]
        self._admin.execute(sql.SQL(statement).format(*names))

    @contextmanager
    def _nobody(self) -> Iterator[None]:
        """Cut all connections to the database, and let nobody in until the block is left."""
        self._run("ALTER DATABASE {} ALLOW_CONNECTIONS false", "")
        self._admin.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s",
            (self._name,),
        )
        yield
        self._run("ALTER DATABASE {} ALLOW_CONNECTIONS true", "")


def is_recovering(engine: EngineUnderTest) -> bool:
    with engine.runtime.engine.connect() as conn:
        return any(each.cause is not None for each in fences.every(conn))


def recovered(engine: EngineUnderTest, folder: Path, late: list[str]) -> str:
    """Run `billing recover` and return what it said.

    Raises `Unavailable` where the provider answers too late. Then it may have adopted something,
    which the next run doesn't tell.
    """
    done = subprocess.run(
        [sys.executable, "-m", "billing.cli", "recover", "--yes"],
        env=engine.environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE * 4,
        check=False,
    )
    if done.returncode == UNAVAILABLE:
        late.append(done.stderr)
        raise Unavailable(done.stderr)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@in_turn("a restore")
def test_a_database_set_back_while_workers_charge_takes_each_payment_once(
    tmp_path: Path, db_url: str, redis_url: str, admin: Admin
) -> None:
    backup = Backup(admin, db_url)
    customers = 20
    with EngineUnderTest(
        tmp_path,
        workers=2,
        database__url=db_url,
        redis__url=redis_url,
        providers__stripe__rate_per_second="6",  # so that a month's charges take seconds
    ) as engine:
        try:
            engine.populate(customers)
            engine.run(lambda: engine.let_pass(timedelta(days=25)))
            backup.take()
            engine.run(lambda: engine.let_pass(timedelta(days=10)))
            assert engine.sandbox.stats()["captures"] == 2 * customers

            third = START + timedelta(days=59, hours=3)  # 1 March: all are due at once
            set_clock(engine.runtime, [engine.sandbox], third)
            engine.wait_until(lambda: engine.sandbox.stats()["captures"] > 2.1 * customers)
            backup.restore()
            engine.run(
                lambda: patiently(lambda: set_clock(engine.runtime, [engine.sandbox], third))
            )
            engine.wait_until(lambda: is_recovering(engine))
            for worker in ("worker-1", "worker-2"):
                engine.end(worker)  # it waits for the answers of its calls
            taken = engine.sandbox.stats()["captures"]
            assert taken < 3 * customers, "the database was set back while they charged"

            late: list[str] = []
            said = engine.run(lambda: patiently(lambda: recovered(engine, tmp_path, late)))
            assert said.count("adopted") == taken - customers or late
            engine.assert_everything_adds_up()
            assert engine.sandbox.stats()["captures"] == 3 * customers
            engine.run(lambda: engine.let_pass(timedelta(days=32)))
            engine.assert_everything_adds_up()
            assert engine.sandbox.stats()["captures"] == 4 * customers
        finally:
            backup.drop()
