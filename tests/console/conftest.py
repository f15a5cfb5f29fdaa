"""A world with a console in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from billing.sandbox import SandboxServer
from tests.console.console_under_test import Browser, ConsoleUnderTest, running_console
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
def console(world: World) -> Iterator[ConsoleUnderTest]:
    """A running console."""
    with running_console(world) as console:
        yield console


@pytest.fixture
def ann(console: ConsoleUnderTest) -> Browser:
    """A person who may do everything."""
    return console.person()
