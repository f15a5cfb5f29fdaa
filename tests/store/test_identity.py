"""The id of an engine: made once by the migration, and not to be changed by anybody."""

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from billing.embedded.servers import EmbeddedPostgres
from billing.store.engine import make_engine
from billing.store.identity import engine_id
from billing.store.schema import migrate
from tests.conftest import Admin
from tests.store.attacks import assert_refused, database


def test_every_migrated_database_is_an_engine_of_its_own(
    pg_server: EmbeddedPostgres, admin: Admin, engine: Engine
) -> None:
    with database("another", pg_server, admin, "template0") as url:
        migrate(url)
        other = make_engine(url, role="billing_app")
        with engine.connect() as ours, other.connect() as theirs:
            assert engine_id(ours) != engine_id(theirs)
            assert engine_id(theirs) == engine_id(theirs)
        other.dispose()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO engine (single) VALUES (true)",
        "UPDATE engine SET id = gen_random_uuid()",
        "DELETE FROM engine",
        "TRUNCATE engine",
    ],
)
def test_the_id_of_an_engine_is_refused_to_the_processes(engine: Engine, statement: str) -> None:
    assert_refused(engine, "permission denied", statement, tables=["engine"])


def test_the_owner_cant_make_it_another_engine_either(
    pg_server: EmbeddedPostgres, admin: Admin, template_db: str
) -> None:
    with database("owned", pg_server, admin, template_db) as url:
        owner = make_engine(url, role=None)
        for statement in ("UPDATE engine SET id = gen_random_uuid()", "TRUNCATE engine"):
            assert_refused(owner, "engine", statement, tables=["engine"])
        with pytest.raises(DBAPIError), owner.begin() as conn:
            conn.exec_driver_sql("INSERT INTO engine (single) VALUES (false)")
        owner.dispose()
