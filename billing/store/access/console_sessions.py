"""Sessions of the console: a hash of the token, and the key that it was opened with."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, text, update

from billing.store.tables import console_sessions


def add(
    conn: Connection, token_hash: str, key_id: str, *, at: datetime, expires_at: datetime
) -> None:
    """Open a session."""
    conn.execute(
        insert(console_sessions).values(
            token_hash=token_hash, key_id=key_id, created_at=at, expires_at=expires_at
        )
    )


_OPEN = text(
    """
    SELECT k.id, k.name, k.scopes
      FROM console_sessions s JOIN api_keys k ON k.id = s.key_id
     WHERE s.token_hash = :token_hash AND s.ended_at IS NULL AND s.expires_at > :at
       AND k.revoked_at IS NULL
    """
)


def key_of(conn: Connection, token_hash: str, *, at: datetime) -> Row[Any] | None:
    """Return the key of a session that is open, as long as the key is valid."""
    return conn.execute(_OPEN, {"token_hash": token_hash, "at": at}).one_or_none()


def end(conn: Connection, token_hash: str, *, at: datetime) -> None:
    """End a session; one that ended before stays as it is."""
    conn.execute(
        update(console_sessions)
        .where(
            console_sessions.c.token_hash == token_hash,
            console_sessions.c.ended_at.is_(None),
        )
        .values(ended_at=at)
    )
