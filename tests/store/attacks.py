"""Attacking a database with plain SQL: a scene of its own, and refusals that change nothing."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from psycopg import sql
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from billing.embedded.servers import EmbeddedPostgres
from billing.store.engine import make_engine
from tests.conftest import Admin


@contextmanager
def database(
    name: str, server: EmbeddedPostgres, admin: Admin, template: str, *statements: str
) -> Iterator[str]:
    """Copy the migrated database, run the owner's statements in it, and give its URL."""
    copy = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
    admin.execute(copy.format(sql.Identifier(name), sql.Identifier(template)))
    url = server.url(name)
    engine = make_engine(url, role=None)
    with engine.begin() as conn:
        run(conn, *statements)
    engine.dispose()
    yield url
    admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def run(conn: Connection, *statements: str) -> None:
    for statement in statements:
        conn.exec_driver_sql(statement)


def everything(engine: Engine, tables: Sequence[str]) -> list[object]:
    with engine.connect() as conn:
        return [
            conn.exec_driver_sql(f"SELECT * FROM {table} ORDER BY 1, 2").all() for table in tables
        ]


def assert_refused(engine: Engine, says: str, *statements: str, tables: Sequence[str]) -> None:
    before = everything(engine, tables)
    with pytest.raises(DBAPIError) as refused, engine.begin() as conn:
        run(conn, *statements)
    assert re.search(says, str(refused.value.orig)), str(refused.value.orig)
    assert everything(engine, tables) == before
