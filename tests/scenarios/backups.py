"""Backups of a world's database: a copy at a moment, restored later.

What the engine did after the moment stands at the provider alone.
"""

from collections.abc import Callable
from pathlib import Path

from psycopg import sql
from sqlalchemy import text
from sqlalchemy.engine import make_url

from billing.flows.recovery import recovering
from billing.flows.recovery.recovering import Adoption
from billing.store import fences
from billing.store.fences import Fence
from tests.conftest import Admin
from tests.restoring import dump_rows, emptied, restore_rows
from tests.scenarios.world import World


class Backups:
    """Takes backups of databases, and opens worlds on them."""

    def __init__(self, admin: Admin, url: str, psp_url: str, folder: Path) -> None:
        self._admin, self._url, self._psp_url, self._folder = admin, url, psp_url, folder
        name = make_url(url).database
        assert name is not None
        self._name = name
        self._copies: list[str] = []
        self._opened: list[World] = []

    def take(self, world: World) -> Callable[[], World]:
        """Copy the world's database; what is returned opens a world on the copy, at world's now."""
        copy = f"{self._name}_backup_{len(self._copies)}"
        self._copies.append(copy)
        world.engine.dispose()
        self._admin.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                sql.Identifier(copy), sql.Identifier(self._name)
            )
        )
        url = make_url(self._url).set(database=copy).render_as_string(hide_password=False)

        more = {name: psp._url for name, psp in world.psps.items() if name != world.provider}

        def restore() -> World:
            restored = World(url, self._psp_url, self._folder / copy, continued=True, more=more)
            self._opened.append(restored)
            restored._pin(world.now)
            return restored

        return restore

    def take_data(self) -> Callable[[], None]:
        """Dump the rows alone; what is returned puts them into the database while it runs."""
        self._folder.mkdir(exist_ok=True)
        file = self._folder / "rows.dump"
        dump_rows(self._url, file)

        def restore() -> None:
            emptied(self._url)
            restore_rows(self._url, file)

        return restore

    def close(self) -> None:
        for world in self._opened:
            world.close()
        for copy in self._copies:
            self._admin.execute(
                sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(copy))
            )


def fence_of(world: World, account: str | None = None) -> Fence:
    with world.engine.connect() as conn:
        found = fences.find(conn, account or world.provider)
    assert found is not None
    return found


def as_after_a_restart(world: World) -> None:
    """Let the database be in another state than the one that was compared."""
    with world.engine.begin() as conn:
        conn.execute(text("UPDATE provider_fences SET checked_database = 'before the restart'"))


def recover(world: World, account: str | None = None) -> list[Adoption]:
    """Recover an account, as the command does; what holds it up fails the test."""
    context = world.context().at_provider(account or world.provider)
    prepared = recovering.prepare(context)
    done = list(recovering.recover(context, prepared))
    assert recovering.finish(context, prepared, done), [(each.result, each.why) for each in done]
    return done


def open_by_hand(world: World) -> None:
    """Open the fence for this state of the database, as if it had been compared."""
    with world.engine.begin() as conn:
        database = fences.this_database(conn)
        provider = world.provider
        fences.open_for(conn, provider, database=database, known_until=world.now, now=world.now)
