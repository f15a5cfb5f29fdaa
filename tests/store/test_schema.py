"""Migrations from zero, what the code believes of the tables, and refusing every other schema."""

import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest
from alembic import command
from psycopg import sql
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

from billing.embedded.servers import EmbeddedPostgres
from billing.errors import BillingError, ErrorCode, SchemaUnknown, Unavailable
from billing.queries.database import roles_sql
from billing.store import schema
from billing.store.engine import make_engine, sqlalchemy_url
from billing.store.schema import check_schema, current_revision, expected_revision, migrate
from billing.store.tables import metadata
from tests import processes
from tests.conftest import Admin
from tests.waiting import PATIENCE

_numbers = count(1)


@pytest.fixture
def empty_url(pg_server: EmbeddedPostgres, admin: Admin) -> Iterator[str]:
    """A database that nobody migrated."""
    name = f"empty_{next(_numbers)}"
    admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield pg_server.url(name)
    admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def refusal(url: str, role: str | None = "billing_app") -> BillingError:
    engine = make_engine(url, role=role)
    try:
        with pytest.raises(BillingError) as refused:
            check_schema(engine)
        return refused.value
    finally:
        engine.dispose()


def revision(url: str) -> str | None:
    engine = create_engine(sqlalchemy_url(url))
    try:
        with engine.connect() as conn:
            return current_revision(conn)
    finally:
        engine.dispose()


def tables(url: str) -> set[str]:
    with psycopg.connect(url) as conn:
        rows = conn.execute(
            "SELECT schemaname || '.' || tablename FROM pg_tables"
            " WHERE schemaname IN ('public', 'ledger')"
        )
        return {str(row[0]) for row in rows}


# --- migrating ----------------------------------------------------------------------------------


def test_migrating_from_zero_brings_the_newest_revision(empty_url: str) -> None:
    migrate(empty_url)

    assert revision(empty_url) == expected_revision()
    engine = make_engine(empty_url)
    check_schema(engine)
    engine.dispose()


def test_migrating_again_changes_nothing(empty_url: str) -> None:
    migrate(empty_url)
    before = tables(empty_url)
    migrate(empty_url)

    assert tables(empty_url) == before


def test_two_that_migrate_at_once_take_turns(empty_url: str) -> None:
    program = "import sys; from billing.store.schema import migrate; migrate(sys.argv[1])"
    command_ = [sys.executable, "-c", program, empty_url]
    with processes.running(command_) as one, processes.running(command_) as other:
        assert [process.wait(PATIENCE) for process in (one, other)] == [0, 0]
    assert revision(empty_url) == expected_revision()


@pytest.mark.slow
def test_a_migration_that_waits_for_a_lock_gives_up_and_changes_nothing(empty_url: str) -> None:
    command.upgrade(schema._config(empty_url), "0001")
    before = tables(empty_url)
    with psycopg.connect(empty_url) as billing_at_work:
        billing_at_work.execute("LOCK TABLE cycles IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(BillingError, match="lock timeout") as refused:
            migrate(empty_url)

    assert refused.value.code is ErrorCode.MIGRATION_ROLLED_BACK
    assert (revision(empty_url), tables(empty_url)) == ("0001", before)
    migrate(empty_url)
    assert revision(empty_url) == expected_revision()


def test_migrating_a_server_that_does_not_answer_says_so() -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        migrate("postgresql://nobody@127.0.0.1:1/billing")


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A server of the test's own: roles belong to all databases of a server."""
    server = EmbeddedPostgres(tmp_path, durable=False)
    try:
        yield server.start(PATIENCE)
    finally:
        server.destroy()


def test_a_plain_owner_migrates_where_a_dba_ran_what_db_roles_prints(
    own_cluster: EmbeddedPostgres,
) -> None:
    with psycopg.connect(own_cluster.url(), autocommit=True) as dba:
        dba.execute("CREATE ROLE plain LOGIN PASSWORD 'p'")
        dba.execute("CREATE DATABASE shop")
    parts = psycopg.conninfo.conninfo_to_dict(own_cluster.url())
    address = f"127.0.0.1:{parts['port']}/shop"
    url = f"postgresql://plain:p@{address}"

    with pytest.raises(BillingError, match="permission denied") as refused:
        migrate(url)
    assert refused.value.code is ErrorCode.ROLES_MISSING

    made = roles_sql(database="shop", owner="plain", role="billing_app", login="billing_login")
    with psycopg.connect(own_cluster.url("shop"), autocommit=True) as dba:
        for statement in made.replace("choose one", "q").split(";"):
            if lines := [line for line in statement.splitlines() if not line.startswith("--")]:
                dba.execute("\n".join(lines).encode())
    migrate(url)

    engine = make_engine(f"postgresql://billing_login:q@{address}")
    check_schema(engine)
    engine.dispose()


def test_an_owner_of_the_database_needs_the_role_alone(own_cluster: EmbeddedPostgres) -> None:
    with psycopg.connect(own_cluster.url(), autocommit=True) as dba:
        dba.execute("CREATE ROLE plain LOGIN PASSWORD 'p'")
        dba.execute("CREATE ROLE billing_app NOLOGIN")
        dba.execute("CREATE DATABASE shop OWNER plain")
    parts = psycopg.conninfo.conninfo_to_dict(own_cluster.url())

    migrate(f"postgresql://plain:p@127.0.0.1:{parts['port']}/shop")

    assert revision(own_cluster.url("shop")) == expected_revision()


def test_no_migration_goes_back(empty_url: str) -> None:
    migrate(empty_url)
    with pytest.raises(NotImplementedError, match="backup"):
        command.downgrade(schema._config(empty_url), "base")
    assert revision(empty_url) == expected_revision()


# --- refusing -----------------------------------------------------------------------------------


def test_a_database_nobody_migrated_is_refused(empty_url: str) -> None:
    error = refusal(empty_url)

    assert isinstance(error, SchemaUnknown)
    assert error.what == "the database has no billing schema"
    assert error.code is ErrorCode.SCHEMA_UNKNOWN


def test_a_database_whose_server_does_not_know_the_role_is_refused_the_same_way(
    empty_url: str,
) -> None:
    error = refusal(empty_url, role="billing_app_of_tomorrow")

    assert isinstance(error, SchemaUnknown)
    assert error.what == "the database has no billing schema"


def test_a_migrated_database_without_the_role_says_that_it_is_the_role(db_url: str) -> None:
    error = refusal(db_url, role="billing_app_of_tomorrow")

    assert isinstance(error, SchemaUnknown)
    assert "billing_app_of_tomorrow" in error.what
    assert error.where == "[database] role"


@pytest.mark.parametrize(
    ("found", "code"),
    [("0001", ErrorCode.SCHEMA_UNKNOWN), ("9999", ErrorCode.REVISION_UNKNOWN)],
)
def test_another_revision_is_refused_older_or_unknown(
    db_url: str, found: str, code: ErrorCode
) -> None:
    with psycopg.connect(db_url) as conn:
        conn.execute("UPDATE alembic_version SET version_num = %s", [found])

    error = refusal(db_url)

    assert isinstance(error, SchemaUnknown)
    assert error.what == (
        f"the database is at revision {found}, this program needs {expected_revision()}"
    )
    assert error.code is code, "only an older schema is brought forward by migrating"


def test_a_server_that_does_not_answer_is_unavailable_not_unknown() -> None:
    error = refusal("postgresql://nobody@127.0.0.1:1/billing")

    assert isinstance(error, Unavailable)


def test_a_wrong_database_name_is_unavailable_not_unknown(pg_server: EmbeddedPostgres) -> None:
    error = refusal(pg_server.url("no_such_database"))

    assert isinstance(error, Unavailable)
    assert "no_such_database" in error.what


# --- what the code believes ---------------------------------------------------------------------


def in_words(kind: TypeEngine[object]) -> str:
    return str(kind.compile(postgresql.dialect()))  # type: ignore[no-untyped-call]


def test_the_tables_in_the_code_are_the_tables_in_the_database(db_url: str) -> None:
    engine = create_engine(sqlalchemy_url(db_url))
    database = inspect(engine)
    with engine.connect() as conn:
        parts = conn.execute(text("SELECT relname FROM pg_class WHERE relispartition")).scalars()
        others = {"alembic_version", *parts}

    assert set(database.get_table_names()) - others == set(metadata.tables)
    for name, table in metadata.tables.items():
        stored = {
            column["name"]: (in_words(column["type"]), column["nullable"])
            for column in database.get_columns(name)
        }
        known = {column.name: (in_words(column.type), column.nullable) for column in table.columns}
        assert known == stored, name
        keys = database.get_pk_constraint(name)["constrained_columns"]
        assert [column.name for column in table.primary_key] == keys, name
    engine.dispose()


def test_what_the_code_leaves_to_the_database_has_a_default_there(db_url: str) -> None:
    engine = create_engine(sqlalchemy_url(db_url))
    database = inspect(engine)
    for name, table in metadata.tables.items():
        stored = {
            column["name"]
            for column in database.get_columns(name)
            if column["default"] is not None or column.get("identity") or column.get("computed")
        }
        known = {
            column.name
            for column in table.columns
            if column.server_default is not None or column.identity or column.computed
        }
        assert known == stored, name
    engine.dispose()


@pytest.mark.parametrize(
    ("what", "query"),
    [
        (
            "triggers that replication would silence",
            "SELECT tgrelid::regclass::text, tgname FROM pg_trigger"
            " WHERE NOT tgisinternal AND tgenabled <> 'A'",
        ),
        (
            "functions that would look elsewhere on another search path",
            "SELECT pronamespace::regnamespace::text, proname FROM pg_proc"
            " WHERE pronamespace IN ('public'::regnamespace, 'ledger'::regnamespace)"
            " AND NOT coalesce(proconfig::text, '') LIKE '%search_path=pg_catalog%'",
        ),
        (
            "constraints whose name says nothing",
            "SELECT conrelid::regclass::text, conname FROM pg_constraint"
            " WHERE connamespace IN ('public'::regnamespace, 'ledger'::regnamespace)"
            r" AND conname ~ '_check\d*$' AND cardinality(conkey) > 1",
        ),
        (
            "foreign keys and checks that were never validated",
            "SELECT conrelid::regclass::text, conname FROM pg_constraint WHERE NOT convalidated",
        ),
        (
            "tables that the application may delete from",
            "SELECT table_name, privilege_type FROM information_schema.role_table_grants"
            " WHERE grantee = 'billing_app' AND privilege_type IN ('DELETE', 'TRUNCATE')",
        ),
    ],
)
def test_the_database_has_no(db_url: str, what: str, query: str) -> None:
    with psycopg.connect(db_url) as conn:
        found = conn.execute(query.encode()).fetchall()
    assert found == [], what


def test_the_application_role_cannot_log_in_and_owns_nothing(db_url: str) -> None:
    engine = create_engine(sqlalchemy_url(db_url))
    with engine.connect() as conn:
        role = conn.execute(
            text("SELECT rolcanlogin, rolsuper FROM pg_roles WHERE rolname = 'billing_app'")
        ).one()
        owned = conn.execute(
            text("SELECT count(*) FROM pg_class WHERE relowner = 'billing_app'::regrole")
        ).scalar_one()
    engine.dispose()
    assert (role.rolcanlogin, role.rolsuper, owned) == (False, False, 0)
