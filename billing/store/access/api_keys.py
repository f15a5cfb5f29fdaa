"""API keys: who may call, with what scopes. Only a keyed hash of the secret is kept."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, or_, select, update

from billing.store.tables import api_keys


def add(conn: Connection, values: Mapping[str, Any]) -> None:
    """Keep a new key."""
    conn.execute(insert(api_keys).values(**values))


def get(conn: Connection, key_id: str) -> Row[Any] | None:
    """Return one key, revoked ones too."""
    return conn.execute(select(api_keys).where(api_keys.c.id == key_id)).one_or_none()


def all_keys(conn: Connection) -> list[Row[Any]]:
    """Return every key without its hash, oldest first."""
    columns = [column for column in api_keys.c if column.name != "secret_hash"]
    return list(conn.execute(select(*columns).order_by(api_keys.c.created_at, api_keys.c.id)))


def used(conn: Connection, key_id: str, at: datetime, *, unless_since: datetime) -> None:
    """Record a key's use, unless one was recorded lately, so that a busy key is no hot row."""
    conn.execute(
        update(api_keys)
        .where(
            api_keys.c.id == key_id,
            or_(api_keys.c.last_used_at.is_(None), api_keys.c.last_used_at < unless_since),
        )
        .values(last_used_at=at)
    )


def revoke(conn: Connection, key_id: str, at: datetime) -> bool:
    """Revoke a key; False when it is revoked already, or there is none."""
    result = conn.execute(
        update(api_keys)
        .where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
        .values(revoked_at=at)
    )
    return result.rowcount == 1
