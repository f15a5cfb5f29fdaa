"""Statements whose every row is a finding: the first of them, and how many there are."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sqlalchemy import Connection, TextClause, text

SHOWN_MAX: Final = 20
_COUNT: Final = "found"

Facts = dict[str, Any]


def finding_rows(select: str, order: str) -> TextClause:
    """Return the statement for the first rows of `select`, in this order, and their number."""
    return text(
        f"SELECT *, count(*) OVER () AS {_COUNT} FROM ({select}) finding"  # noqa: S608  our constants
        f" ORDER BY {order} LIMIT :shown_max"
    )


def found(
    conn: Connection, statement: TextClause, params: Mapping[str, Any]
) -> Iterator[tuple[Facts, int]]:
    """Yield the facts of at most `SHOWN_MAX` rows, each with 0; then no facts and how many more."""
    rows = conn.execute(statement, {**params, "shown_max": SHOWN_MAX}).mappings().all()
    for row in rows:
        yield {name: value for name, value in row.items() if name != _COUNT}, 0
    if rows and rows[0][_COUNT] > len(rows):
        yield {}, rows[0][_COUNT] - len(rows)
