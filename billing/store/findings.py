"""Queries whose every row is a finding: whether there are any, the first of them, and how many."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Protocol, TypeVar

from sqlalchemy import Connection, TextClause, text

SHOWN_MAX: Final = 20
_COUNT: Final = "found"
# A statement keeps what it sorted and hashed until its end, so it doesn't ask for everything.
_ASKED_AT_ONCE: Final = 8

Facts = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FindingQuery:
    """A query whose every row is a finding, and the order in which the first ones are shown."""

    select: str
    order: str

    @property
    def statement(self) -> TextClause:
        """The statement for the first rows and their number."""
        return text(
            f"SELECT *, count(*) OVER () AS {_COUNT} FROM ({self.select}) finding"  # noqa: S608  our constants
            f" ORDER BY {self.order} LIMIT :shown_max"
        )


def found(
    conn: Connection, query: FindingQuery, params: Mapping[str, Any]
) -> Iterator[tuple[Facts, int]]:
    """Yield the facts of at most `SHOWN_MAX` rows, each with 0; then no facts and how many more."""
    rows = conn.execute(query.statement, {**params, "shown_max": SHOWN_MAX}).mappings().all()
    for row in rows:
        yield {name: value for name, value in row.items() if name != _COUNT}, 0
    if rows and rows[0][_COUNT] > len(rows):
        yield {}, rows[0][_COUNT] - len(rows)


class Asking(Protocol):
    """What asks a query."""

    @property
    def query(self) -> FindingQuery:
        """The query."""
        ...


_Asking = TypeVar("_Asking", bound=Asking)


def with_rows(
    conn: Connection, checks: Sequence[_Asking], params: Mapping[str, Any]
) -> list[_Asking]:
    """Return those of the checks whose query has rows.

    Usually none has. One statement asks for some of them, which takes a small database less time.
    """
    groups = [
        checks[first : first + _ASKED_AT_ONCE] for first in range(0, len(checks), _ASKED_AT_ONCE)
    ]
    return [
        check
        for group in groups
        for check, has_rows in zip(group, _have_rows(conn, group, params), strict=True)
        if has_rows
    ]


def _have_rows(
    conn: Connection, checks: Sequence[Asking], params: Mapping[str, Any]
) -> Sequence[bool]:
    return conn.execute(_together(tuple(each.query.select for each in checks)), params).one()


@lru_cache(maxsize=64)
def _together(selects: tuple[str, ...]) -> TextClause:
    # Counted: for EXISTS the database plans as if the first row came early, and there is none.
    counts = (f"(SELECT count(*) FROM ({select}) finding) > 0" for select in selects)  # noqa: S608  our constants
    return text("SELECT " + ", ".join(counts))
