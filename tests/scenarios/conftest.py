"""One world a story."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from billing.sandbox import SandboxServer
from tests.scenarios.world import World


@pytest.fixture
def world(db_url: str, sandbox: SandboxServer, tmp_path: Path) -> Iterator[World]:
    """A migrated database and a provider of this story's own, at the beginning of 2026."""
    world = World(db_url, sandbox.url, tmp_path / "catalog")
    yield world
    world.close()
