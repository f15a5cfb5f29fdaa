"""Command lines in a folder of their own; `world` has real servers behind it.

Hundreds of tests begin in a world where nobody has subscribed yet, or where one customer has
paid. Both are made once, and then copied: the database, and the data of the provider.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import psycopg
import pytest
from psycopg import sql

from tests.cli.world import START, Cli, World, begun
from tests.conftest import Admin
from tests.databases import Copies, copy_database
from tests.kept import Kept
from tests.repeatable import SEED, Milliseconds, repeatable_ids

if TYPE_CHECKING:
    from billing.embedded.servers import EmbeddedPostgres
    from billing.sandbox import SandboxServer


@dataclass(frozen=True)
class Prepared:
    """What to copy; without a provider's data its provider is empty."""

    database: str
    provider: Path | None = None


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """A command line without any server: what `billing init` wrote, and nothing else."""
    cli = Cli(tmp_path)
    assert cli.run("init").exit_code == 0
    return cli


class Preparing:
    """Makes databases to copy, with what their providers have."""

    def __init__(self, server: "EmbeddedPostgres", admin: Admin, folder: Path) -> None:
        self._server, self._admin, self._folder = server, admin, folder

    def prepare(
        self, name: str, start: Prepared, tell: Callable[[Path, str, str], None]
    ) -> Prepared:
        """Copy what there is at the start, and tell a story: folder, provider, database."""
        from billing.sandbox import SandboxServer

        made = Prepared(f"cli_{name}", self._folder / f"{name}_provider")
        assert made.provider is not None
        copy_database(self._admin, start.database, made.database)
        _provide(start, made.provider)
        url = self._server.url(made.database)
        _keep_fences(url)
        folder = self._folder / name
        folder.mkdir()
        before = Milliseconds(earlier=2 if start.provider is None else 1)
        with repeatable_ids(f"{SEED} {name}", before), SandboxServer(made.provider) as sandbox:
            tell(folder, sandbox.url, url)
        return made


def _provide(prepared: Prepared, folder: Path) -> None:
    """Give a provider that isn't running yet its data."""
    if prepared.provider is not None:
        shutil.copytree(prepared.provider, folder, dirs_exist_ok=True)


# A copy of a database charges where the database might: nobody goes on with the other.
KEEP_FENCES: Final = sql.SQL(
    "UPDATE provider_fences SET checked_database = this_database(), written_by = this_transaction()"
)


def _keep_fences(url: str) -> None:
    with psycopg.connect(url) as owner:
        owner.execute(KEEP_FENCES)


@pytest.fixture(scope="session")
def _preparing(
    pg_server: "EmbeddedPostgres", admin: Admin, tmp_path_factory: pytest.TempPathFactory
) -> Preparing:
    return Preparing(pg_server, admin, tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="session")
def _begun(_preparing: Preparing, template_db: str) -> Prepared:
    def tell(folder: Path, provider: str, database: str) -> None:
        begun(folder, provider, database__url=database)

    return _preparing.prepare("begun", Prepared(template_db), tell)


@pytest.fixture(scope="session")
def _paid(_preparing: Preparing, _begun: Prepared) -> Prepared:
    def tell(folder: Path, provider: str, database: str) -> None:
        world = begun(folder, provider, prepared=True, database__url=database)
        world.subscribed("ada", "video-basic")
        world.at(START)
        world.reconcile()

    return _preparing.prepare("paid", _begun, tell)


@pytest.fixture
def start(request: pytest.FixtureRequest) -> Prepared:
    """What this test begins with: the world it asks for, or else a migrated database."""
    asked = {"paid": "_paid", "world": "_begun"}
    for name, prepared in asked.items():
        if name in request.fixturenames:
            found: Prepared = request.getfixturevalue(prepared)
            return found
    return Prepared(request.getfixturevalue("template_db"))


@pytest.fixture
def db_url(
    request: pytest.FixtureRequest,
    pg_server: "EmbeddedPostgres",
    copies: Callable[[str], Copies],
    kept: Callable[..., Kept],
    start: Prepared,
    _repeatable_ids: None,
) -> Iterator[str]:
    """The owner's URL of a database as if it were this test's own."""
    if start.provider is not None and "apart" not in request.fixturenames:
        with kept(start.database, KEEP_FENCES).lent() as name:
            yield pg_server.url(name)
        return
    with copies(start.database).copied() as name:
        if start.provider is not None:
            _keep_fences(pg_server.url(name))
        yield pg_server.url(name)


@pytest.fixture
def sandbox(start: Prepared) -> "Iterator[SandboxServer]":
    """A provider of this test's own, running, with what it begins with."""
    from billing.sandbox import SandboxServer

    with TemporaryDirectory() as folder:
        _provide(start, Path(folder))
        with SandboxServer(Path(folder)) as server:
            yield server


@pytest.fixture
def world(tmp_path: Path, db_url: str, redis_url: str, sandbox: "SandboxServer") -> World:
    """A published catalog and the clock at the start; nobody subscribed yet."""
    return begun(tmp_path, sandbox.url, prepared=True, database__url=db_url, redis__url=redis_url)


@pytest.fixture
def paid(world: World) -> World:
    """One customer, paid for a month, reconciled and closed."""
    return world


@pytest.fixture
def declined(world: World) -> World:
    """One customer whose card was declined once and is tried again on a ladder."""
    world.subscribed("bob", "video-basic", card="pm_card_chargeCustomerFail")
    world.at(START)
    return world
