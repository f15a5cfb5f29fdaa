"""Connections, and what their errors say."""

from datetime import UTC, datetime

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from billing.errors import BadInput, Unavailable
from billing.store.engine import APP_ROLE, make_engine, reachable, sqlalchemy_url
from billing.store.schema import check_schema
from tests.store.pooler import pooler


def test_an_error_does_not_repeat_the_values_of_its_statement(engine: Engine) -> None:
    with engine.connect() as conn, pytest.raises(DBAPIError) as caught:
        conn.execute(text("SELECT CAST(:email AS text), 1 / 0"), {"email": "ada@example.org"})

    assert "division by zero" in str(caught.value)
    assert "ada@example.org" not in str(caught.value)


# --- what a connection relies on ------------------------------------------------------------------

SETTINGS = """
SELECT current_setting('TimeZone'), current_user, current_setting('statement_timeout'),
       current_setting('lock_timeout'), current_setting('idle_in_transaction_session_timeout')
"""


@pytest.fixture
def elsewhere(db_url: str) -> str:
    """A database whose own settings are not what a connection relies on."""
    with psycopg.connect(db_url, autocommit=True) as owner:
        name = sql.Identifier(str(owner.info.dbname))
        owner.execute(sql.SQL("ALTER DATABASE {} SET TimeZone = 'Europe/Berlin'").format(name))
        owner.execute(sql.SQL("ALTER DATABASE {} SET statement_timeout = '7min'").format(name))
    return db_url


@pytest.mark.parametrize("behind", [False, True], ids=["direct", "behind a pooler"])
def test_every_connection_has_zone_role_and_timeouts(elsewhere: str, behind: bool) -> None:
    with pooler(elsewhere, "session") as pooled:
        engine = make_engine(pooled if behind else elsewhere, pool_size=2)
        with engine.connect() as one, engine.connect() as two:
            for conn in (one, two):
                assert tuple(conn.execute(text(SETTINGS)).one()) == (
                    "UTC", APP_ROLE, "30s", "10s", "1min",
                )  # fmt: skip
                noon = conn.execute(text("SELECT timestamptz '2026-07-01 12:00+00'")).scalar_one()
                assert noon.isoformat() == datetime(2026, 7, 1, 12, tzinfo=UTC).isoformat()
        engine.dispose()


def test_a_pooler_in_transaction_mode_is_refused(db_url: str) -> None:
    with pooler(db_url, "transaction") as pooled:
        engine = make_engine(pooled)
        with pytest.raises(Unavailable, match="every transaction"), engine.connect():
            pass
        engine.dispose()


def test_a_pooler_in_transaction_mode_is_refused_again_whatever_earlier_clients_left(
    db_url: str,
) -> None:
    """Its connections keep what was set over them: the settings, and the mark of a probe."""
    with pooler(db_url, "transaction", size=4) as pooled:
        for _ in range(5):
            engine = make_engine(pooled)
            for _ in range(2):
                with pytest.raises(Unavailable, match="every transaction"), engine.connect():
                    pass
            engine.dispose()


def test_a_pooler_that_refuses_settings_is_named(db_url: str) -> None:
    with pooler(db_url, "session", refuses_options=True) as pooled:
        engine = make_engine(pooled)
        with pytest.raises(Unavailable, match="ignore_startup_parameters"):
            check_schema(engine)
        with (
            pytest.raises(Unavailable, match="ignore_startup_parameters"),
            reachable(),
            engine.connect(),
        ):
            pass
        engine.dispose()


def test_a_connection_that_breaks_before_its_first_use_is_no_question_of_the_role(
    db_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> bool:
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr("billing.store.session.verify", broken)
    engine = make_engine(db_url)

    with pytest.raises(Unavailable, match="does not answer"):
        check_schema(engine)
    with pytest.raises(Unavailable, match="does not answer"), engine.connect():
        pass


def test_a_role_that_may_not_be_taken_is_an_error_of_the_database(db_url: str) -> None:
    engine = make_engine(db_url, role="nobody_of_that_name")

    with pytest.raises(DBAPIError), engine.connect():
        pass


# --- how a URL may be written ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "hosts", "database"),
    [
        ("postgres://bob@db/x", ("db", None), "x"),
        ("postgresql://bob@db:5433/x", ("db", 5433), "x"),
        ("postgresql://a:1,b:2/x", ("a:1", "b:2"), "x"),
        ("postgresql://bob:p%2Cw@a,b:2/x?connect_timeout=3", ("a", "b:2"), "x"),
        ("postgres://a,b,c/x?target_session_attrs=read-write", ("a", "b", "c"), "x"),
        ("postgresql:///x?host=/run/postgresql", ("/run/postgresql",), "x"),
    ],
)
def test_urls_are_taken_in_the_forms_of_libpq(
    url: str, hosts: tuple[object, ...], database: str
) -> None:
    parsed = sqlalchemy_url(url)

    told = parsed.query.get("host", (parsed.host, parsed.port))
    assert ((told,) if isinstance(told, str) else told) == hosts
    assert (parsed.drivername, parsed.database) == ("postgresql+psycopg", database)


@pytest.mark.parametrize("url", ["mysql://db/x", "nonsense", ""])
def test_what_is_no_url_of_postgresql_is_refused(url: str) -> None:
    with pytest.raises(BadInput):
        sqlalchemy_url(url)
