"""A world with an API in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from billing.sandbox import SandboxServer
from tests.api.caller import Caller, Shop, open_shop
from tests.conftest import Admin
from tests.scenarios.backups import Backups
from tests.scenarios.world import World


@pytest.fixture
def db_url(kept_url: str) -> str:
    """The owner's URL of this test's database, in which a scenario may begin."""
    return kept_url


@pytest.fixture
def world(
    db_url: str, sandbox: SandboxServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    """A migrated database and a provider, at the beginning of 2026."""
    monkeypatch.chdir(tmp_path)
    world = World(db_url, sandbox.url, tmp_path / "catalog", prepared=True)
    yield world
    world.close()


@pytest.fixture
def shop(world: World) -> Iterator[Shop]:
    """A running API."""
    with open_shop(world) as shop:
        yield shop


@pytest.fixture
def caller(shop: Shop) -> Caller:
    """A caller who may do everything."""
    return shop.caller()


@pytest.fixture
def backups(
    admin: Admin, apart: None, db_url: str, sandbox: SandboxServer, tmp_path: Path
) -> Iterator[Backups]:
    """Backups of the world's database."""
    backups = Backups(admin, db_url, sandbox.url, tmp_path)
    yield backups
    backups.close()
