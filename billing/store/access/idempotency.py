"""Idempotency keys of API callers: what was asked under each, and what was answered.

Keys are never deleted, so however late a repetition comes, it is recognised. `lease_until` is real
time: until then a process works on the request.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, select, text, update

from billing.rules.request_marks import RequestMark
from billing.store.tables import idempotency_keys as keys

_CLAIM = text(
    """
    INSERT INTO idempotency_keys (scope, key, request_hash, operation, resource_id, lease_until,
                                  created_at)
    VALUES (:scope, :key, :request_hash, :operation, :resource_id, :lease_until, :at)
    ON CONFLICT (scope, key) DO NOTHING
    RETURNING true
    """
)


def claim(
    conn: Connection,
    *,
    scope: str,
    key: str,
    operation: str,
    request_hash: bytes,
    resource_id: UUID,
    lease_until: datetime,
    at: datetime,
) -> bool:
    """Insert a key with its lease; False when it exists.

    Waits for another transaction that inserts the same key.
    """
    return bool(
        conn.execute(
            _CLAIM,
            {
                "scope": scope,
                "key": key,
                "operation": operation,
                "request_hash": request_hash,
                "resource_id": resource_id,
                "lease_until": lease_until,
                "at": at,
            },
        ).scalar()
    )


_MARK = text(
    """
    SELECT scope, key, request_hash FROM idempotency_keys
     WHERE resource_id = :id ORDER BY created_at LIMIT 1
    """
)


def mark_of(conn: Connection, resource_id: UUID) -> RequestMark | None:
    """Return the request that made an object; None where no caller of the API asked for it."""
    row = conn.execute(_MARK, {"id": resource_id}).one_or_none()
    return None if row is None else RequestMark(row.scope, row.key, bytes(row.request_hash))


_RESTORE = text(
    """
    INSERT INTO idempotency_keys (scope, key, request_hash, operation, resource_id, created_at)
    VALUES (:scope, :key, :request_hash, :operation, :resource_id, :at)
    ON CONFLICT (scope, key) DO NOTHING
    """
)


def restore(
    conn: Connection, mark: RequestMark, operation: str, resource_id: UUID, *, at: datetime
) -> None:
    """Write a key down that was forgotten: a repetition goes on with what its request made."""
    conn.execute(
        _RESTORE,
        {
            "scope": mark.scope,
            "key": mark.key,
            "request_hash": mark.request_hash,
            "operation": operation,
            "resource_id": resource_id,
            "at": at,
        },
    )


def lock(conn: Connection, scope: str, key: str) -> Row[Any]:
    """Lock a key that is there and return it."""
    query = select(keys).where(keys.c.scope == scope, keys.c.key == key).with_for_update()
    return conn.execute(query).one()


def lease(conn: Connection, scope: str, key: str, until: datetime) -> None:
    """Set until when the key is leased."""
    conn.execute(
        update(keys)
        .where(keys.c.scope == scope, keys.c.key == key, keys.c.finished_at.is_(None))
        .values(lease_until=until)
    )


def release(conn: Connection, scope: str, key: str, until: datetime) -> None:
    """End the key's lease, if it is leased exactly until then."""
    conn.execute(
        update(keys)
        .where(keys.c.scope == scope, keys.c.key == key, keys.c.lease_until == until)
        .values(lease_until=None)
    )


def finish(
    conn: Connection,
    scope: str,
    key: str,
    *,
    status: int,
    response: Mapping[str, Any],
    at: datetime,
) -> bool:
    """Keep the answer for every repetition; False when there is one already, which stays."""
    result = conn.execute(
        update(keys)
        .where(keys.c.scope == scope, keys.c.key == key, keys.c.finished_at.is_(None))
        .values(status=status, response=dict(response), finished_at=at, lease_until=None)
    )
    return result.rowcount == 1
