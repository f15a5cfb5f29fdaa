"""Pages of a table in order of creation, which its time-ordered ids are."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Row, Table, select


def page(
    conn: Connection,
    table: Table,
    equal: Mapping[str, UUID | str | None],
    *,
    limit: int,
    after: UUID | None,
    also: ColumnElement[bool] | None = None,
) -> list[Row[Any]]:
    """Return up to `limit` rows after the id `after`; a column that is None narrows nothing."""
    query = select(table).order_by(table.c.id).limit(limit)
    for name, value in equal.items():
        if value is not None:
            query = query.where(table.c[name] == value)
    if also is not None:
        query = query.where(also)
    if after is not None:
        query = query.where(table.c.id > after)
    return list(conn.execute(query))
