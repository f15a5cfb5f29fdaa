"""Which engine this database is: an id that everything made at a provider carries."""

from collections.abc import MutableMapping
from typing import Final
from uuid import UUID
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, select

from billing.store.tables import engine

_known: Final[MutableMapping[Engine, UUID]] = WeakKeyDictionary()


def engine_id(conn: Connection) -> UUID:
    """Return this engine's id. It never changes, so a pool of connections reads it once."""
    known = _known.get(conn.engine)
    if known is None:
        known = _known[conn.engine] = conn.execute(select(engine.c.id)).scalar_one()
    return known
