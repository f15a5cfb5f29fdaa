"""The database itself: whether it answers, its schema, its clock, and what our role may do."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from billing.store.clock import read as test_clock
from billing.store.engine import APP_ROLE, reachable
from billing.store.guards import weakened
from billing.store.schema import check_schema, current_revision, expected_revision

__all__ = [
    "APP_ROLE",
    "JournalRights",
    "check_schema",
    "current_revision",
    "expected_revision",
    "journal_rights",
    "quoted",
    "reachable",
    "roles_sql",
    "server_clock",
    "server_version",
    "test_clock",
    "weakened",
]


@dataclass(frozen=True, slots=True)
class JournalRights:
    """What the connection's role may do with postings."""

    may_post: bool
    may_rewrite: bool


_JOURNAL_RIGHTS = text(
    """
    SELECT has_table_privilege('ledger.postings', 'INSERT')
           OR has_any_column_privilege('ledger.postings', 'INSERT') AS may_post,
           has_table_privilege('ledger.postings', 'UPDATE')
           OR has_table_privilege('ledger.postings', 'DELETE') AS may_rewrite
    """
)


def journal_rights(conn: Connection) -> JournalRights:
    """Return what the connection's role may do with postings."""
    row = conn.execute(_JOURNAL_RIGHTS).one()
    return JournalRights(row.may_post, row.may_rewrite)


def roles_sql(*, database: str, owner: str, role: str, login: str) -> str:
    """Return the SQL that makes the roles of a database: to be run once, in that database.

    `owner` migrates and owns the tables, `login` is the user of the engine's processes and may
    become `role`, which has the rights.
    """
    names = (quoted(name) for name in (database, owner, role, login))
    database, owner, role, login = names
    return f"""\
-- Run this once in the database {database}, as a superuser or as its owner with CREATEROLE.
CREATE ROLE {role} NOLOGIN;
CREATE ROLE {login} LOGIN PASSWORD 'choose one';
GRANT {role} TO {login};
GRANT CONNECT, CREATE ON DATABASE {database} TO {owner};
GRANT CONNECT ON DATABASE {database} TO {login};
GRANT USAGE, CREATE ON SCHEMA public TO {owner};
"""


def quoted(name: str) -> str:
    """Return a name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def server_version(conn: Connection) -> int:
    """Return PostgreSQL's major version."""
    return int(conn.execute(text("SHOW server_version_num")).scalar_one()) // 10_000


def server_clock(conn: Connection) -> datetime:
    """Return what time it is for the database."""
    at: datetime = conn.execute(text("SELECT clock_timestamp()")).scalar_one()
    return at
