"""Statements that are executed often stay prepared, whatever becomes of their transactions."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from billing.store.engine import make_engine

OFTEN = 8  # psycopg prepares a statement at its sixth execution
LOOK_UP = text("SELECT * FROM tasks WHERE task = :task")


def prepared(engine: Engine) -> list[str]:
    with engine.connect() as conn:
        return list(conn.execute(text("SELECT statement FROM pg_prepared_statements")).scalars())


@pytest.fixture
def one(db_url: str) -> Iterator[Engine]:
    """An engine with one connection."""
    engine = make_engine(db_url, pool_size=1)
    yield engine
    engine.dispose()


def look_up(engine: Engine) -> None:
    with engine.connect() as conn:
        conn.execute(LOOK_UP, {"task": "open"}).all()


def test_a_look_up_is_prepared_although_each_ends_with_a_rollback(one: Engine) -> None:
    for _ in range(OFTEN):
        look_up(one)
    assert len([each for each in prepared(one) if "FROM tasks" in each]) == 1


def test_an_error_drops_no_statement(one: Engine) -> None:
    for _ in range(OFTEN):
        look_up(one)
    with pytest.raises(DBAPIError), one.begin() as conn:
        conn.execute(text("SELECT 1 / 0"))
    assert len([each for each in prepared(one) if "FROM tasks" in each]) == 1
    look_up(one)


def test_a_table_with_another_column_is_refused_once_and_read_afterwards(
    one: Engine, db_url: str
) -> None:
    for _ in range(OFTEN):
        look_up(one)
    owner = make_engine(db_url, role=None)
    with owner.begin() as conn:
        conn.execute(text("ALTER TABLE tasks ADD COLUMN further integer"))
    owner.dispose()

    with pytest.raises(DBAPIError, match="cached plan must not change result type"):
        look_up(one)
    look_up(one)
    with one.connect() as conn:
        assert "further" in list(conn.execute(LOOK_UP, {"task": "open"}).keys())
