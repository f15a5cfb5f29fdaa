"""A database after the story, and who makes mutants in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from psycopg import sql
from sqlalchemy import Engine

from billing.embedded.servers import EmbeddedPostgres
from billing.sandbox import SandboxServer
from billing.store.engine import APP_ROLE, make_engine
from tests.conftest import Admin
from tests.promises import story
from tests.repeatable import repeatable_ids
from tests.scenarios.backups import Backups, recover
from tests.scenarios.world import World


@dataclass(frozen=True)
class Scene:
    """The database after the story, at its domain time: as its owner and as the application."""

    owner: Engine
    app: Engine
    now: datetime


@contextmanager
def after_the_story(
    server: EmbeddedPostgres, admin: Admin, template: str, folder: Path
) -> Iterator[Scene]:
    """Tell the story in a copy of a migrated database, and give what it leaves."""
    name = "promises"
    copy = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
    admin.execute(copy.format(sql.Identifier(name), sql.Identifier(template)))
    url = server.url(name)
    folder.mkdir(exist_ok=True)
    with SandboxServer(folder / "stripe") as here, SandboxServer(folder / "eu") as there:
        backups = Backups(admin, url, here.url, folder / "backups")
        world = World(url, here.url, folder / "catalog", more={"eu": there.url})
        with repeatable_ids("the story of the promises"):
            after = story.tell(world, partial(_restored, backups), folder)
        world.close()
        told = after.engine.url.render_as_string(hide_password=False)
        now = after.now
        after.close()
        owner, app = make_engine(told, role=None), make_engine(told, role=APP_ROLE)
        yield Scene(owner, app, now)
        owner.dispose()
        app.dispose()
        backups.close()
    admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _restored(backups: Backups, left: World) -> tuple[World, str]:
    """Take a backup, go on for a while, restore it and recover what the provider holds."""
    restore = backups.take(left)
    left.run_until(f"{left.now + story.LOST:%Y-%m-%d}")
    found = restore()
    for account in found.psps:
        recover(found, account)
    url = found.engine.url.set(drivername="postgresql")
    return found, url.render_as_string(hide_password=False)
