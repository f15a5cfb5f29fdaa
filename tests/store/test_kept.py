"""A database that test after test uses is as its template, and so are its connections."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import psycopg
import pytest
from sqlalchemy import Connection, text

from billing.embedded.servers import EmbeddedPostgres
from billing.store.engine import make_engine
from tests.databases import Copies
from tests.kept import Kept

DONE = {
    "nothing": ("SELECT 1",),
    "rows written": (
        "UPDATE test_clock SET now = now()",
        "INSERT INTO plans (code, product, name, applied_at) VALUES ('p', 'P', 'P', now())",
    ),
    "rows removed": (
        "SET session_replication_role = replica",
        "DELETE FROM test_clock",
    ),
    "numbers taken": ("SELECT setval(oid::regclass, 1000) FROM pg_class WHERE relkind = 'S'",),
    "too many rows": (
        "INSERT INTO plans (code, product, name, applied_at)"
        " SELECT 'p' || n, 'P', 'P', now() FROM generate_series(1, 20000) n",
    ),
    "another schema": ("ALTER TABLE plans ADD COLUMN more integer",),
    "a function": ("CREATE FUNCTION of_a_test() RETURNS integer LANGUAGE sql AS 'SELECT 1'",),
    "no trigger": ("DROP TRIGGER check_postings ON ledger.postings",),
    "a trigger off": ("ALTER TABLE ledger.postings DISABLE TRIGGER check_postings",),
    "a column that may be empty": ("ALTER TABLE plans ALTER COLUMN name DROP NOT NULL",),
    "a right more": ("GRANT DELETE ON tasks TO billing_app",),
    "statistics": ("ANALYZE plans",),
    "a table emptied": ("TRUNCATE tasks",),
}  # fmt: skip
SAME_DATABASE = ("nothing", "rows written", "rows removed", "numbers taken")


@pytest.fixture
def kept(
    copies: Callable[[str], Copies], prepared_db: str, pg_server: EmbeddedPostgres
) -> Iterator[Kept]:
    kept = Kept(copies(prepared_db), pg_server.url)
    yield kept
    kept.close()


def contents(url: str) -> dict[str, object]:
    """Return what a database has: the rows of its tables, its sequences, and its schema."""
    schema = "SELECT relname, relnatts, relacl::text FROM pg_class WHERE oid >= 16384"
    schema += " AND relnamespace IN ('public'::regnamespace, 'ledger'::regnamespace)"
    asked = {
        "classes": schema,
        "columns": "SELECT attrelid::regclass::text, attname, attnotnull FROM pg_attribute"
        " WHERE attrelid >= 16384 AND attrelid::regclass::text NOT LIKE 'pg_%'",
        "triggers": "SELECT tgrelid::regclass::text, tgname, tgenabled FROM pg_trigger",
        "functions": "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
        "sequences": "SELECT sequencename, last_value FROM pg_sequences",
    }
    with psycopg.connect(url) as owner:
        tables = owner.execute(
            "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r'"
            " AND relnamespace IN ('public'::regnamespace, 'ledger'::regnamespace)"
        ).fetchall()
        asked |= {str(name): f"SELECT * FROM {name}" for (name,) in tables}
        found = {
            name: sorted(map(str, owner.execute(query.encode()).fetchall()))
            for name, query in asked.items()
        }
    return {name: rows for name, rows in found.items() if rows}


@pytest.mark.parametrize("done", DONE)
def test_a_database_is_as_its_template_whatever_was_done_to_it(
    done: str, kept: Kept, prepared_db: str, pg_server: EmbeddedPostgres
) -> None:
    with (
        kept.lent() as before,
        psycopg.connect(pg_server.url(before), autocommit=True) as owner,
    ):
        for statement in DONE[done]:
            owner.execute(statement.encode())

    with kept.lent() as after:
        assert contents(pg_server.url(after)) == contents(pg_server.url(prepared_db))
    assert (after == before) is (done in SAME_DATABASE)


def test_what_is_refused_always_is_refused_in_it(kept: Kept, pg_server: EmbeddedPostgres) -> None:
    with kept.lent() as name, psycopg.connect(pg_server.url(name)) as owner:
        owner.execute("SET session_replication_role = replica")
        with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
            owner.execute("DELETE FROM plan_versions")


def backend(conn: Connection) -> int:
    return int(conn.execute(text("SELECT pg_backend_pid()")).scalar_one())


def test_a_connection_goes_to_the_next_engine_as_it_began(
    kept: Kept, pg_server: EmbeddedPostgres
) -> None:
    backends = []
    for _ in range(2):
        with kept.lent() as name:
            engine = make_engine(pg_server.url(name), statement_timeout=timedelta(seconds=7))
            with engine.begin() as conn:
                backends.append(backend(conn))
                assert conn.execute(text("SHOW statement_timeout")).scalar_one() == "7s"
                assert conn.execute(text("SELECT current_user")).scalar_one() == "billing_app"
                held = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
                assert conn.execute(held).scalar_one() == 0
                conn.execute(text("SET statement_timeout = '3s'"))
                conn.execute(text("SET ROLE NONE"))
                conn.execute(text("SELECT pg_advisory_lock(7)"))
            engine.dispose()

    assert backends[0] == backends[1]


def test_an_engine_with_other_options_gets_a_connection_of_its_own(
    kept: Kept, pg_server: EmbeddedPostgres
) -> None:
    backends = []
    with kept.lent() as name:
        for role in ("billing_app", None):
            engine = make_engine(pg_server.url(name), role=role)
            with engine.connect() as conn:
                backends.append(backend(conn))
            engine.dispose()

    assert backends[0] != backends[1]
