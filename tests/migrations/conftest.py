"""A database and a provider as the release before left them."""

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from psycopg import sql

from billing.sandbox import SandboxServer
from tests.conftest import Admin
from tests.migrations.restored import restore_database, restore_provider

if TYPE_CHECKING:
    from billing.embedded.servers import EmbeddedPostgres

_numbers = count(1)


@pytest.fixture(scope="session")
def released(pg_server: "EmbeddedPostgres", admin: Admin) -> str:
    """The name of a database at 0003, full of the release's data, to copy."""
    name = f"release_0003_{os.getpid()}"
    admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    restore_database(pg_server.url(name))
    return name


@pytest.fixture
def released_url(pg_server: "EmbeddedPostgres", admin: Admin, released: str) -> Iterator[str]:
    """The owner's URL of this test's own copy, which is not migrated yet."""
    name = f"{released}_{next(_numbers)}"
    copy = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
    admin.execute(copy.format(sql.Identifier(name), sql.Identifier(released)))
    yield pg_server.url(name)
    admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def released_provider(tmp_path: Path) -> Iterator[SandboxServer]:
    """The provider that the release's data are about, running."""
    restore_provider(tmp_path / "sandbox")
    with SandboxServer(tmp_path / "sandbox") as server:
        yield server
