"""Checking every foreign key: what a row names is there.

Foreign keys are triggers, so whoever works with triggers off is not refused by them. Which there
are is read from the catalogue of the schema.
"""
# ruff: noqa: S608  statements are put together from the names of the catalogue

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from billing.rules.promises import Finding, FindingKind
from billing.store.findings import FindingQuery, found, with_rows

_FOREIGN_KEYS = text(
    """
    SELECT f.conname AS name, f.conrelid::regclass::text AS here,
           f.confrelid::regclass::text AS there,
           ARRAY(SELECT a.attname::text FROM unnest(f.conkey) WITH ORDINALITY AS k(number, place)
                   JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.number
                  ORDER BY k.place) AS columns,
           ARRAY(SELECT a.attname::text FROM unnest(f.confkey) WITH ORDINALITY AS k(number, place)
                   JOIN pg_attribute a ON a.attrelid = f.confrelid AND a.attnum = k.number
                  ORDER BY k.place) AS named
      FROM pg_constraint f
     WHERE f.contype = 'f' AND f.connamespace IN ('public'::regnamespace, 'ledger'::regnamespace)
     ORDER BY f.conrelid::regclass::text, f.conname
    """
)


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A foreign key, and the query for the rows that name what isn't there."""

    name: str
    here: str
    there: str
    query: FindingQuery

    def run(self, conn: Connection) -> Iterator[Finding]:
        """Yield the first findings, and then how many more there are."""
        for facts, more in found(conn, self.query, {}):
            named: dict[str, Any] = {"table": self.here, "key": self.name, "names": self.there}
            yield Finding(FindingKind.REFERENCE_DANGLES, named | facts if facts else {}, more)


def foreign_keys(conn: Connection) -> Sequence[ForeignKey]:
    """Return every foreign key of the schema."""
    return [
        ForeignKey(row.name, row.here, row.there, _query(row))
        for row in conn.execute(_FOREIGN_KEYS)
    ]


def _query(row: Any) -> FindingQuery:
    pairs = " AND ".join(
        f"o.{there} = c.{here}" for here, there in zip(row.columns, row.named, strict=True)
    )
    given = " AND ".join(f"c.{column} IS NOT NULL" for column in row.columns)
    value = " || ' ' || ".join(f"c.{column}::text" for column in row.columns)
    return FindingQuery(
        f"SELECT {value} AS value FROM {row.here} c"
        f" WHERE {given} AND NOT EXISTS (SELECT FROM {row.there} o WHERE {pairs})",
        "value",
    )


def dangling(conn: Connection) -> list[Finding]:
    """Return the rows that name what isn't there, by foreign key."""
    keys = with_rows(conn, foreign_keys(conn), {})
    return [finding for key in keys for finding in key.run(conn)]
