"""A world with an API in it."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from billing.config import Settings
from billing.sandbox import SandboxServer
from tests.api.caller import Caller, Shop, open_shop
from tests.scenarios.world import World, WorldRuntime
from tests.settings import with_provider


@pytest.fixture
def world(
    db_url: str, sandbox: SandboxServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    """A migrated database and a provider, at the beginning of 2026."""
    monkeypatch.chdir(tmp_path)
    world = World(db_url, sandbox.url, tmp_path / "catalog")
    hasty = world.runtime
    world.runtime = WorldRuntime(with_patience(hasty.settings), world=world)
    world.gateway = world.runtime.gateway
    yield world
    hasty.close()
    world.close()


def with_patience(settings: Settings) -> Settings:
    """Wait longer for answers than stories do: here many callers ask at once."""
    return with_provider(settings, timeout_read=timedelta(seconds=20))


@pytest.fixture
def shop(world: World) -> Iterator[Shop]:
    """A running API."""
    with open_shop(world) as shop:
        yield shop


@pytest.fixture
def caller(shop: Shop) -> Caller:
    """A caller who may do everything."""
    return shop.caller()
