"""Command lines in a folder of their own; `world` has real servers behind it."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.world import START, Cli, World, begun

if TYPE_CHECKING:
    from billing.sandbox import SandboxServer


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """A command line without any server: what `billing init` wrote, and nothing else."""
    cli = Cli(tmp_path)
    assert cli.run("init").exit_code == 0
    return cli


@pytest.fixture
def world(tmp_path: Path, db_url: str, redis_url: str, sandbox: "SandboxServer") -> World:
    """A published catalog and the clock at the start; nobody subscribed yet."""
    return begun(tmp_path, sandbox.url, database__url=db_url, redis__url=redis_url)


@pytest.fixture
def paid(world: World) -> World:
    """One customer, paid for a month, reconciled and closed."""
    world.subscribed("ada", "video-basic")
    world.at(START)
    world.reconcile()
    return world


@pytest.fixture
def declined(world: World) -> World:
    """One customer whose card was declined once and is tried again on a ladder."""
    world.subscribed("bob", "video-basic", card="pm_card_chargeCustomerFail")
    world.at(START)
    return world
