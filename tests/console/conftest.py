"""A world with a console in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from billing.sandbox import SandboxServer
from tests.console.office import Browser, Office, open_office
from tests.scenarios.world import World


@pytest.fixture
def db_url(prepared_url: str) -> str:
    """The owner's URL of this test's own database, in which a scenario may begin."""
    return prepared_url


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
def office(world: World) -> Iterator[Office]:
    """A running console."""
    with open_office(world) as office:
        yield office


@pytest.fixture
def ann(office: Office) -> Browser:
    """A person who may do everything."""
    return office.person()
