"""One world a story."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from billing.sandbox import SandboxServer
from tests.conftest import Admin
from tests.scenarios.backups import Backups
from tests.scenarios.world import World


@pytest.fixture
def db_url(kept_url: str) -> str:
    """The owner's URL of this test's database, in which a scenario may begin."""
    return kept_url


@pytest.fixture
def world(db_url: str, sandbox: SandboxServer, tmp_path: Path) -> Iterator[World]:
    """A migrated database and a provider of this story's own, at the beginning of 2026."""
    world = World(db_url, sandbox.url, tmp_path / "catalog", prepared=True)
    yield world
    world.close()


@pytest.fixture
def backups(
    admin: Admin, apart: None, db_url: str, sandbox: SandboxServer, tmp_path: Path
) -> Iterator[Backups]:
    """Backups of the world's database."""
    backups = Backups(admin, db_url, sandbox.url, tmp_path)
    yield backups
    backups.close()


@pytest.fixture
def second() -> Iterator[SandboxServer]:
    """The provider of the second account."""
    with TemporaryDirectory() as folder, SandboxServer(Path(folder)) as server:
        yield server


@pytest.fixture
def both(db_url: str, sandbox: SandboxServer, tmp_path: Path) -> Iterator[World]:
    """A world with an account at each of two providers."""
    more = {"braintree": sandbox.url}
    world = World(db_url, sandbox.url, tmp_path / "catalog", more=more)
    yield world
    world.close()


@pytest.fixture
def two(
    db_url: str, sandbox: SandboxServer, second: SandboxServer, tmp_path: Path
) -> Iterator[World]:
    """A world with the accounts `stripe` and `eu`."""
    world = World(db_url, sandbox.url, tmp_path / "catalog", more={"eu": second.url})
    yield world
    world.close()
