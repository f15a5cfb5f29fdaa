"""One way to read lists: rows by conditions, in the order of creation, or the newest first.

Ids begin with the time of their creation, so their order is the order of creation. Only the
conditions that were asked for are written out, so that each uses its index.
"""

from collections.abc import Mapping
from typing import TypeVar

from sqlalchemy import Connection, text

from billing.store.rows import Reader

T = TypeVar("T")


def page(
    conn: Connection,
    query: str,
    conditions: Mapping[str, str],
    read: Reader[T],
    *,
    limit: int,
    newest_first: bool = False,
    **asked: object,
) -> list[T]:
    """Return up to `limit` rows as values; a condition whose value is None doesn't narrow.

    `query` has a place for `{where}`, and ends with its order and `LIMIT :limit`; where it can be
    read from its end, `{order}` says the direction.
    """
    given = {name: value for name, value in asked.items() if value is not None}
    where = " AND ".join(conditions[name] for name in given) or "true"
    order = "DESC" if newest_first else "ASC"
    statement = query.format(where=where, order=order)
    rows = conn.execute(text(statement), {**given, "limit": limit})
    return [read(row) for row in rows]
