"""What the database refuses about keys, answers that were given, and the audit log.

Every attack is tried as the application's role and as the owner; a refused one changes nothing.
"""

import re
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from billing.rules.actor import Actor, ActorKind
from billing.store.access import audit
from billing.store.engine import APP_ROLE, make_engine

SCENE = """
INSERT INTO idempotency_keys (scope, key, request_hash, operation, resource_id, status, response,
                              created_at, finished_at)
VALUES ('api:shop', 'answered', '\\x01', 'payments.charge',
        '018f0000-0000-7000-8000-000000000001', 201, '{"n": 1}', '2026-01-01', '2026-01-01'),
       ('api:shop', 'in work', '\\x02', 'payments.charge',
        '018f0000-0000-7000-8000-000000000002', NULL, NULL, '2026-01-01', NULL);
INSERT INTO api_keys (id, name, secret_hash, scopes, created_at, revoked_at)
VALUES ('good', 'shop', '\\x01', '{read}', '2026-01-01', NULL),
       ('revoked', 'shop', '\\x02', '{admin}', '2026-01-01', '2026-01-02');
INSERT INTO console_sessions (token_hash, key_id, created_at, expires_at, ended_at)
VALUES (repeat('01', 32), 'good', '2026-01-01', '2026-01-02', NULL),
       (repeat('02', 32), 'good', '2026-01-01', '2026-01-02', '2026-01-01');
INSERT INTO audit_log (at, actor, action, subject) VALUES ('2026-01-01', 'cli:ada', 'x', 'y')
"""
TABLES = ("idempotency_keys", "api_keys", "console_sessions", "audit_log")
NO_RIGHT = "append-only|can't be changed|permission denied"


def run(conn: Connection, *statements: str) -> None:
    for statement in statements:
        conn.exec_driver_sql(statement)


def everything(engine: Engine) -> list[object]:
    with engine.connect() as conn:
        return [
            conn.exec_driver_sql(f"SELECT * FROM {table} ORDER BY 1, 2").all() for table in TABLES
        ]


@pytest.fixture(params=[APP_ROLE, None], ids=["as the application", "as the owner"])
def attacker(db_url: str, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """A database with keys, answers and a line in the audit log."""
    owner = make_engine(db_url, role=None)
    with owner.begin() as conn:
        run(conn, *SCENE.split(";"))
    owner.dispose()
    engine = make_engine(db_url, role=request.param)
    yield engine
    engine.dispose()


ATTACKS = {
    "another answer": (
        "its answer was given",
        "UPDATE idempotency_keys SET status = 402 WHERE key = 'answered'",
    ),
    "an answer taken back": (
        "its answer was given",
        "UPDATE idempotency_keys SET status = NULL, response = NULL, finished_at = NULL"
        " WHERE key = 'answered'",
    ),
    "another request under the key": (
        "what was asked for can't change",
        "UPDATE idempotency_keys SET request_hash = '\\x09' WHERE key = 'in work'",
    ),
    "another payment under the key": (
        "what was asked for can't change",
        "UPDATE idempotency_keys SET resource_id = NULL WHERE key = 'in work'",
    ),
    "a key forgotten": (
        "can't be deleted|permission denied",
        "DELETE FROM idempotency_keys WHERE key = 'answered'",
    ),
    "all keys forgotten": (NO_RIGHT, "TRUNCATE idempotency_keys"),
    "more scopes": (
        "what it opens can't change",
        "UPDATE api_keys SET scopes = '{admin}' WHERE id = 'good'",
    ),
    "another secret": (
        "what it opens can't change",
        "UPDATE api_keys SET secret_hash = '\\x09' WHERE id = 'good'",
    ),
    "another caller's name": (
        "what it opens can't change",
        "UPDATE api_keys SET name = 'bank' WHERE id = 'good'",
    ),
    "a revoked key opened again": (
        "stays revoked",
        "UPDATE api_keys SET revoked_at = NULL WHERE id = 'revoked'",
    ),
    "an API key deleted": ("can't be deleted|permission denied", "DELETE FROM api_keys"),
    "a session that lasts longer": (
        "what it opens can't change",
        "UPDATE console_sessions SET expires_at = '2027-01-01'",
    ),
    "a session of another key": (
        "what it opens can't change",
        "UPDATE console_sessions SET key_id = 'revoked'",
    ),
    "a session that goes on": (
        "stays ended",
        "UPDATE console_sessions SET ended_at = NULL WHERE ended_at IS NOT NULL",
    ),
    "a session deleted": ("can't be deleted|permission denied", "DELETE FROM console_sessions"),
    "a line of the audit log changed": (NO_RIGHT, "UPDATE audit_log SET actor = 'nobody'"),
    "a line of the audit log deleted": (NO_RIGHT, "DELETE FROM audit_log"),
    "the audit log emptied": (NO_RIGHT, "TRUNCATE audit_log"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_refused(attacker: Engine, name: str) -> None:
    says, statement = ATTACKS[name]
    before = everything(attacker)

    with pytest.raises(DBAPIError) as refused, attacker.begin() as conn:
        run(conn, statement)

    assert re.search(says, str(refused.value.orig)), str(refused.value.orig)
    assert everything(attacker) == before


def test_what_is_allowed_is_taken(attacker: Engine) -> None:
    with attacker.begin() as conn:
        run(
            conn,
            "UPDATE idempotency_keys SET lease_until = '2026-01-01' WHERE key = 'in work'",
            "UPDATE idempotency_keys SET status = 201, response = '{}', finished_at = '2026-01-02',"
            " lease_until = NULL WHERE key = 'in work'",
            "UPDATE api_keys SET last_used_at = '2026-01-03'",
            "UPDATE api_keys SET revoked_at = '2026-01-03' WHERE id = 'good'",
            "UPDATE console_sessions SET ended_at = '2026-01-03' WHERE ended_at IS NULL",
        )


NUMBERED = (
    "audit_log",
    "break_notes",
    "payment_transitions",
    "subscription_events",
    "subscription_changes",
)


def test_the_application_chooses_no_number_no_month_and_no_time_of_the_log(db_url: str) -> None:
    engine = make_engine(db_url)
    with engine.begin() as conn:
        numbered = conn.exec_driver_sql(
            "SELECT table_schema || '.' || table_name AS name, column_name AS column"
            "  FROM information_schema.columns"
            " WHERE table_schema IN ('public', 'ledger')"
            "   AND (is_identity = 'YES' OR column_name = 'month'"
            "        OR (table_name = 'audit_log' AND column_name = 'at'))"
        ).all()
        chosen = [
            (row.name, row.column, right)
            for row in numbered
            for right in ("INSERT", "UPDATE")
            if conn.exec_driver_sql(
                "SELECT has_column_privilege('billing_app', %s, %s, %s)",
                (row.name, row.column, right),
            ).scalar()
        ]
    assert {row.name for row in numbered} >= {f"public.{name}" for name in NUMBERED}
    assert chosen == []
    engine.dispose()


@pytest.mark.parametrize(
    "values",
    [
        "(id, actor, action, subject) OVERRIDING SYSTEM VALUE"
        " VALUES (9223372036854775806, 'cli:ada', 'x', 'y')",
        "(at, actor, action, subject) VALUES ('1990-01-01', 'cli:ada', 'x', 'y')",
        "(month, actor, action, subject) VALUES ('1990-01-01', 'cli:ada', 'x', 'y')",
    ],
)
def test_a_line_of_the_audit_log_has_the_next_number_and_the_time_of_the_database(
    db_url: str, values: str
) -> None:
    engine = make_engine(db_url)
    with pytest.raises(DBAPIError, match="permission denied"), engine.begin() as conn:
        conn.exec_driver_sql(f"INSERT INTO audit_log {values}")
    with engine.begin() as conn:
        audit.record(conn, actor=Actor(ActorKind.CLI, "ada"), action="x", subject="y")
        (line,) = audit.page(conn)
        assert conn.exec_driver_sql("SELECT now()").scalar() == line.at
    engine.dispose()
