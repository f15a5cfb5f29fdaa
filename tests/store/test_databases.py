"""A database of a test is as its template, whatever an earlier test did to its files."""

from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from billing.embedded.servers import EmbeddedPostgres
from tests.conftest import Admin
from tests.databases import Copies, copy_database

COPIED = "copied_here"
DONE = {
    "nothing": (),
    "rows written": (
        "INSERT INTO test_clock VALUES (1, now())",
        "INSERT INTO plans (code, product, name, applied_at) VALUES ('p', 'P', 'P', now())",
    ),
    "many rows": (
        "INSERT INTO plans (code, product, name, applied_at)"
        " SELECT 'p' || n, 'P', 'P', now() FROM generate_series(1, 5000) n",
    ),
    "numbers taken": (
        "SELECT setval(oid::regclass, 1000) FROM pg_class WHERE relkind = 'S'",
    ),
    "another schema": (
        "ALTER TABLE plans ADD COLUMN more integer",
        "CREATE TABLE of_a_test (id integer PRIMARY KEY, said text)",
        "CREATE FUNCTION of_a_test() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "DROP TRIGGER check_postings ON ledger.postings",
    ),
    "statistics": ("ANALYZE",),
    "a table emptied": ("TRUNCATE tasks",),
    "everything rewritten": ("VACUUM FULL",),
}  # fmt: skip


@pytest.fixture(scope="module")
def copies(admin: Admin, template_db: str) -> Copies:
    copy_database(admin, template_db, COPIED)
    return Copies(admin, COPIED)


def contents(admin: Admin, database: str) -> dict[str, bytes]:
    """Return what is in the files of a database."""
    found = admin.execute(
        "SELECT current_setting('data_directory') || '/base/' || oid"
        " FROM pg_database WHERE datname = %s",
        (database,),
    ).fetchone()
    assert found is not None
    return {file.name: file.read_bytes() for file in Path(str(found[0])).iterdir()}


@pytest.mark.parametrize("done", DONE.values(), ids=DONE)
def test_a_copy_is_as_its_template_whatever_was_done_to_the_one_before(
    done: tuple[str, ...], copies: Copies, admin: Admin, pg_server: EmbeddedPostgres
) -> None:
    with (
        copies.copied() as before,
        psycopg.connect(pg_server.url(before), autocommit=True) as owner,
    ):
        for statement in done:
            owner.execute(statement)
        admin.execute("CHECKPOINT")  # so that it stands in files

    with copies.copied() as after:
        assert contents(admin, after) == contents(admin, COPIED)
        with psycopg.connect(pg_server.url(after)) as owner:
            assert owner.execute("SELECT count(*) FROM plans").fetchone() == (0,)


def test_files_of_a_database_that_is_still_there_are_not_used_again(
    copies: Copies, admin: Admin, pg_server: EmbeddedPostgres
) -> None:
    with copies.copied() as name:
        before = contents(admin, name)
        rename = sql.SQL("ALTER DATABASE {} RENAME TO elsewhere").format(sql.Identifier(name))
        admin.execute(rename)
        copy_database(admin, COPIED, name)

    with copies.copied() as another, psycopg.connect(pg_server.url(another)) as owner:
        for statement in DONE["rows written"]:
            owner.execute(statement)
        owner.commit()
        admin.execute("CHECKPOINT")
        assert contents(admin, "elsewhere") == before
    admin.execute("DROP DATABASE elsewhere")
