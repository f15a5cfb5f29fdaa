"""Taking the rows that are due for a worker: charges and refunds are dispatched in the same way.

`next_attempt_at` is domain time; `dispatch_after` is real time, because a lost message must
come back even while a test clock stands still.
"""

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, TextClause, text

# `dispatch_after` of a row without a lease or a message under way: only its domain time decides.
NOT_HELD: Final = datetime(1970, 1, 1, tzinfo=UTC)


def due_statement(table: str, also: str = "true") -> TextClause:
    """Return the statement that takes a table's due rows that fulfil `also`.

    Rows of an account that is recovering wait. One that wasn't checked yet is left to the worker,
    who checks it.
    """
    return text(
        f"""
        UPDATE {table} SET dispatch_after = :again_at
         WHERE id IN (
               SELECT id FROM {table}
                WHERE next_attempt_at IS NOT NULL AND {also}
                  AND provider <> ALL (ARRAY(SELECT f.provider FROM provider_fences f
                                              WHERE f.state = 'recovering'))
                  AND next_attempt_at <= :now
                  AND (dispatch_after <= :wall OR dispatch_after > :held_until)
                ORDER BY next_attempt_at
                LIMIT :limit
                  FOR UPDATE SKIP LOCKED)
        RETURNING id
        """  # noqa: S608  names of ours
    )


def take(
    conn: Connection,
    due: TextClause,
    *,
    now: datetime,
    wall: datetime,
    again_at: datetime,
    held_until: datetime,
    limit: int,
) -> list[UUID]:
    """Take up to `limit` due rows out of dispatch until `again_at` and return their ids.

    A row that is held beyond `held_until` was held by a wrong clock, and is due.
    """
    values = {"now": now, "wall": wall, "again_at": again_at, "held_until": held_until}
    rows = conn.execute(due, {**values, "limit": limit})
    return [row.id for row in rows]
