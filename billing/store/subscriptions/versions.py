"""Dated versions of what is sold, insert-only, and the corrections of those that nothing uses."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Generic, Protocol, Self, TypeVar

from sqlalchemy import Connection, Table, TextClause, func, select, text
from sqlalchemy.dialects.postgresql import insert

Place = tuple[str, date]
"""The code of what is sold, and the date of the version."""


class Version(Protocol):
    """One dated set of terms."""

    @property
    def effective(self) -> date:
        """The day from which it holds."""

    def to_terms(self) -> dict[str, Any]:
        """Return the terms as JSON-able values."""

    def digest(self) -> str:
        """Return the digest of the terms."""


V = TypeVar("V", bound=Version)


@dataclass(frozen=True, slots=True)
class StoredVersion(Generic[V]):
    """A version as it holds now: as it was corrected last, if it was."""

    code: str
    version: V
    published_at: datetime


# A version as it was corrected last; one that was taken out has no terms.
_AS_THEY_HOLD = """
    SELECT v.{code} AS code, v.effective, v.terms, v.digest, v.published_at
      FROM {versions} v
     WHERE NOT EXISTS (SELECT FROM {corrections} c
                        WHERE c.{code} = v.{code} AND c.effective = v.effective)
     UNION ALL
    SELECT * FROM (SELECT DISTINCT ON ({code}, effective)
                          {code}, effective, terms, digest, corrected_at
                     FROM {corrections} ORDER BY {code}, effective, n DESC) c
     WHERE c.terms IS NOT NULL
     ORDER BY effective, code
"""


@dataclass(frozen=True, slots=True)
class PublishedVersions(Generic[V]):
    """The published versions of one kind of thing that is sold."""

    column: str
    """The column that names the thing, in both tables."""
    versions: Table
    corrections: Table
    from_terms: Callable[[str, date, Mapping[str, Any]], V]
    as_they_hold: TextClause

    @classmethod
    def of(
        cls,
        column: str,
        versions: Table,
        corrections: Table,
        from_terms: Callable[[str, date, Mapping[str, Any]], V],
    ) -> Self:
        """Return the versions in two tables, whose `column` names the thing."""
        query = _AS_THEY_HOLD.format(
            code=column, versions=versions.name, corrections=corrections.name
        )
        return cls(column, versions, corrections, from_terms, text(query))

    def read(self, conn: Connection) -> Iterator[StoredVersion[V]]:
        """Yield every version as it holds now, by its date and code."""
        for row in conn.execute(self.as_they_hold):
            version = self.from_terms(row.code, row.effective, row.terms)
            yield StoredVersion(row.code, version, row.published_at)

    def unreadable(self, conn: Connection) -> Iterator[tuple[str, date, str]]:
        """Yield each version whose terms can't be read, or aren't of its digest, with why."""
        for row in conn.execute(self.as_they_hold):
            try:
                version = self.from_terms(row.code, row.effective, row.terms)
                if version.digest() != row.digest:
                    yield row.code, row.effective, "their digest is another one"
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
                yield row.code, row.effective, f"{type(error).__name__} {error}"

    def digests(self, conn: Connection) -> dict[Place, str]:
        """Return the digest of every version, as it holds now."""
        return {(row.code, row.effective): row.digest for row in conn.execute(self.as_they_hold)}

    def publish(self, conn: Connection, wanted: Mapping[str, Sequence[V]], now: datetime) -> None:
        """Publish versions by the code of what they belong to, and correct those that differ.

        The database refuses to correct one that is in use.
        """
        known, digests = self._dates(conn), self.digests(conn)
        for code, versions in wanted.items():
            for version in versions:
                place = (code, version.effective)
                if place not in known:
                    self._add(conn, code, version, now)
                elif digests.get(place) != version.digest():
                    self.correct(conn, place, version, now)

    def _dates(self, conn: Connection) -> frozenset[Place]:
        """Return the place of every version that was ever published."""
        query = select(self.versions.c[self.column], self.versions.c.effective)
        return frozenset((code, effective) for code, effective in conn.execute(query))

    def _add(self, conn: Connection, code: str, version: V, now: datetime) -> None:
        values = {
            self.column: code,
            "effective": version.effective,
            "terms": version.to_terms(),
            "digest": version.digest(),
            "published_at": now,
        }
        conn.execute(insert(self.versions).values(values))

    def correct(self, conn: Connection, place: Place, version: V | None, now: datetime) -> None:
        """Let other terms hold for an unused version, or none. The database refuses one in use."""
        code, effective = place
        columns = self.corrections.c
        query = select(func.coalesce(func.max(columns.n), 0)).where(
            columns[self.column] == code, columns.effective == effective
        )
        values = {
            self.column: code,
            "effective": effective,
            "n": conn.execute(query).scalar_one() + 1,
            "terms": None if version is None else version.to_terms(),
            "digest": None if version is None else version.digest(),
            "corrected_at": now,
        }
        conn.execute(insert(self.corrections).values(values))
