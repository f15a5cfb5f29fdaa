"""A world whose night is driven by Temporal, with the servers that come as wheels."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.world import World, begun
from tests.temporal.servers import DevServer
from tests.temporal.story import evening

if TYPE_CHECKING:
    from collections.abc import Iterator

    from billing.sandbox import SandboxServer


@pytest.fixture
def world(tmp_path: Path, db_url: str, redis_url: str, sandbox: "SandboxServer") -> World:
    """Two customers who paid, and the night's settlement still to come."""
    world = begun(
        tmp_path,
        sandbox.url,
        database__url=db_url,
        redis__url=redis_url,
        providers__stripe__timeout_read="1s",
        providers__stripe__timeout_connect="1s",
        providers__stripe__deadline="1s",
        reconciler__lease="1500ms",
        reconciler__tick="100ms",
        temporal__retry_every="300ms",
        temporal__heartbeat_timeout="1s",
    )
    evening(world)
    return world


@pytest.fixture
def server(tmp_path: Path) -> "Iterator[DevServer]":
    """A development server of Temporal that keeps its state in a file."""
    with DevServer(tmp_path / "temporal.db") as server:
        yield server
