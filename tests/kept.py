"""A database that test after test uses, with its connections, each as if it were the first.

A connection begins by reading the schema and planning every statement: for a scenario that is half
of the server's work. So connections stay open from test to test, with what they have prepared, and
rows are put back as they were. A database whose schema was changed isn't used again.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import psycopg
from psycopg import sql

from tests.databases import Copies
from tests.engines import IDLE

USES_MAX: Final = 200  # rows that were deleted leave traces, which make reading slower
ROWS_MAX: Final = 20_000

_TABLES: Final = """
    SELECT c.relnamespace::regnamespace::text AS schema, c.relname AS name,
           ARRAY(SELECT a.attname::text FROM pg_attribute a
                  WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                    AND a.attgenerated = '' ORDER BY a.attnum) AS columns
      FROM pg_class c
     WHERE c.relkind = 'r' AND c.relnamespace IN ('public'::regnamespace, 'ledger'::regnamespace)
     ORDER BY c.oid"""
_SEQUENCES: Final = """
    SELECT schemaname, sequencename, coalesce(last_value, start_value), last_value IS NOT NULL
      FROM pg_sequences WHERE schemaname IN ('public', 'ledger')"""
# Where the schema is told: a change writes a row, and what is dropped loses one.
_CATALOG: Final = (
    "pg_attrdef", "pg_attribute", "pg_class", "pg_constraint", "pg_index", "pg_namespace",
    "pg_policy", "pg_proc", "pg_rewrite", "pg_statistic", "pg_trigger", "pg_type",
)  # fmt: skip
_OTHERS: Final = """
    SELECT count(pg_terminate_backend(pid, 60000)) FROM pg_stat_activity
     WHERE datname = current_database() AND backend_type = 'client backend'
       AND pid <> pg_backend_pid() AND pid <> ALL (%s::int[])"""

# Its names are no column's.
_RESTORE: Final = """
    CREATE FUNCTION pg_temp.restore(kept_since bigint) RETURNS bigint LANGUAGE plpgsql AS $body$
    DECLARE kept_deleted bigint; kept_total bigint := 0;
    BEGIN {steps} {last}; RETURN kept_total; END $body$"""
_EMPTY: Final = """
    DELETE FROM {table};
    GET DIAGNOSTICS kept_deleted = ROW_COUNT; kept_total := kept_total + kept_deleted;"""
# A table that had rows is left alone where none was written and none is missing.
_REFILL: Final = f"""
    IF (SELECT count(*) <> {{count}} OR max(xmin::text::bigint) > kept_since FROM {{table}}) THEN
        {_EMPTY}
        INSERT INTO {{table}} ({{columns}}) OVERRIDING SYSTEM VALUE
        SELECT {{columns}} FROM {{copy}};
    END IF;"""
_NOTHING: Final = sql.SQL("NULL")
_RESET: Final = "PERFORM setval({sequence}, {value}, {used});"


class _Keeper:
    """Puts the rows of one database back as they were when it began."""

    def __init__(self, url: str, last: sql.SQL) -> None:
        self._conn: psycopg.Connection[Any] = psycopg.connect(url, autocommit=True)
        self._conn.prepare_threshold = 0
        self._since = 0
        # Some triggers fire always, and refuse to delete. This one connection learns here that they
        # don't: PostgreSQL tells nobody of a change of its catalog by hand.
        self._conn.execute("SET session_replication_role = replica")
        always = "UPDATE pg_trigger SET tgenabled = 'O' WHERE tgenabled = 'A' RETURNING oid"
        oids = [row[0] for row in self._conn.execute(always)]
        self._define_restore(last)
        self._restore()
        self._conn.execute("UPDATE pg_trigger SET tgenabled = 'A' WHERE oid = ANY (%s)", [oids])
        self._restore()
        self._schema = self._read_schema()

    def restored(self, connections: Sequence[int]) -> bool:
        """Put the rows back, and tell whether the database is good for another test.

        Ends all connections but these.
        """
        try:
            self._conn.execute(_OTHERS, [list(connections)])
            return self._read_schema() == self._schema and self._restore() < ROWS_MAX
        except psycopg.Error:
            return False

    def close(self) -> None:
        """Close the connection."""
        self._conn.close()

    def _restore(self) -> int:
        row = self._conn.execute(
            "SELECT pg_temp.restore(%s), pg_current_xact_id()::text::bigint", [self._since]
        ).fetchone()
        assert row is not None
        deleted, self._since = row
        return int(deleted)

    def _read_schema(self) -> Sequence[object]:
        told = ", ".join(
            f"(SELECT count(*) FROM {each}), (SELECT max(xmin::text::bigint) FROM {each})"
            for each in _CATALOG
        )
        row = self._conn.execute(f"SELECT {told}").fetchone()
        assert row is not None
        return tuple(row)

    def _define_restore(self, last: sql.SQL) -> None:
        tables = self._conn.execute(_TABLES).fetchall()
        steps = [
            self._step(sql.Identifier(schema, name), columns, f"kept_{number}")
            for number, (schema, name, columns) in enumerate(tables)
        ]
        for schema, name, value, used in self._conn.execute(_SEQUENCES).fetchall():
            sequence = sql.Literal(f"{schema}.{name}")
            steps.append(
                sql.SQL(_RESET).format(sequence=sequence, value=value, used=sql.Literal(used))
            )
        parts = {"steps": sql.SQL("\n").join(steps), "last": last}
        self._conn.execute(sql.SQL(_RESTORE).format(**parts))

    def _step(self, table: sql.Identifier, columns: Sequence[str], copy: str) -> sql.Composed:
        counted = self._conn.execute(sql.SQL("SELECT count(*) FROM {}").format(table)).fetchone()
        assert counted is not None
        if not counted[0]:
            return sql.SQL(_EMPTY).format(table=table)
        parts = {
            "table": table,
            "columns": sql.SQL(", ").join(map(sql.Identifier, columns)),
            "copy": sql.Identifier("pg_temp", copy),
        }
        make = sql.SQL("CREATE TEMP TABLE {name} AS SELECT {columns} FROM {table}")
        self._conn.execute(make.format(name=sql.Identifier(copy), **parts))
        return sql.SQL(_REFILL).format(count=counted[0], **parts)


class Kept:
    """Lends a copy of a database to test after test, to one at a time.

    `last` is a statement without which a copy is no good: it is executed before every test, when
    the rows are as they were.
    """

    def __init__(
        self, copies: Copies, url_of: Callable[[str], str], last: sql.SQL = _NOTHING
    ) -> None:
        self._copies, self._url_of, self._last = copies, url_of, last
        self._held = ExitStack()
        self._keeper: _Keeper | None = None
        self._name, self._uses = "", 0

    @contextmanager
    def lent(self) -> Iterator[str]:
        """Yield the name of the copy, which is as its template."""
        keeper = self._keeper or self._begin()
        yield self._name
        self._uses += 1
        if not (keeper.restored(IDLE.backends(self._name)) and self._uses < USES_MAX):
            self.close()

    def close(self) -> None:
        """Drop the copy."""
        self._held.close()
        self._keeper = None

    def _begin(self) -> _Keeper:
        self._name, self._uses = self._held.enter_context(self._copies.copied()), 0
        url = self._url_of(self._name)
        self._keeper = _Keeper(url, self._last)
        self._held.callback(self._keeper.close)
        self._held.enter_context(IDLE.keeping(self._name))
        return self._keeper
