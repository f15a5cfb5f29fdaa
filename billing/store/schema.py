"""The schema's revision: bring it forward, and refuse to run on one this code doesn't know."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError
from sqlalchemy.pool import NullPool

from billing.errors import BillingError, ErrorCode, SchemaUnknown
from billing.store.engine import reachable, settings_refused, sqlalchemy_url

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).resolve().parents[1] / "migrations"


def _config(url: str) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    rendered = sqlalchemy_url(url).render_as_string(hide_password=False)
    config.set_main_option("sqlalchemy.url", rendered.replace("%", "%%"))
    return config


def expected_revision() -> str:
    """Return the newest revision this code ships.

    Revisions are numbers, and files begin with them: Alembic, which takes long to load, is only
    needed to migrate.
    """
    return max(_revisions())


def _revisions() -> frozenset[str]:
    files = (MIGRATIONS / "versions").glob("[0-9]*.py")
    return frozenset(file.name.partition("_")[0] for file in files)


def current_revision(conn: Connection) -> str | None:
    """Return the database's revision, or None where nothing was ever migrated."""
    try:
        with conn.begin_nested():
            return conn.execute(text("SELECT version_num FROM alembic_version")).scalar()
    except ProgrammingError:
        return None


def migrate(url: str) -> None:
    """Bring the database at `url` (owner's rights needed) to the newest revision, all or nothing.

    Raises `Unavailable` when it can't be reached, `BillingError` when a lock isn't had in time.
    """
    from alembic import command
    from alembic.util import CommandError

    try:
        with all_or_nothing(), reachable():
            command.upgrade(_config(url), "head")
    except CommandError as error:
        raise SchemaUnknown(
            f"the database is at a revision that this program doesn't know: {error}",
            where="[database] url",
            code=ErrorCode.REVISION_UNKNOWN,
        ) from error


@contextmanager
def all_or_nothing() -> Iterator[None]:
    """Say of an error of the database that the migration in the block was rolled back."""
    try:
        yield
    except DBAPIError as error:
        reason = str(error.orig).strip().splitlines()[0]
        lacks_right = isinstance(error.orig, psycopg.errors.InsufficientPrivilege)
        raise BillingError(
            f"the migration was rolled back: {reason}",
            where="billing db migrate",
            code=ErrorCode.ROLES_MISSING if lacks_right else ErrorCode.MIGRATION_ROLLED_BACK,
        ) from error


def check_schema(engine: Engine) -> None:
    """Refuse a database whose revision isn't the one this code was written for.

    Raises `SchemaUnknown` or `Unavailable`.
    """
    expected = expected_revision()
    with reachable():
        try:
            with engine.connect() as conn:
                found = current_revision(conn)
        except OperationalError as error:
            found = _revision_without_role(engine, error)
    if found == expected:
        return
    if found is None:
        what = "the database has no billing schema"
    else:
        what = f"the database is at revision {found}, this program needs {expected}"
    code = ErrorCode.SCHEMA_UNKNOWN
    if found is not None and not _is_ours(found):
        code = ErrorCode.REVISION_UNKNOWN  # a later program made it: migrating is no remedy
    raise SchemaUnknown(what, where="[database] url", code=code)


def _is_ours(revision: str) -> bool:
    return revision in _revisions()


def _revision_without_role(engine: Engine, refusal: OperationalError) -> str | None:
    """Return the revision as the login itself sees it, when the engine's connection was refused.

    A database without the schema lacks the application's role, too, and the server refuses the
    connection for that. Raises what was refused, when it is no question of the role.
    """
    if getattr(refusal.orig, "sqlstate", None) or settings_refused(refusal.orig):
        raise refusal
    plain = create_engine(engine.url, poolclass=NullPool, connect_args={"connect_timeout": 5})
    with plain.connect() as conn:
        found = current_revision(conn)
    if found is not None:
        reason = str(refusal.orig).strip().splitlines()[0]
        raise SchemaUnknown(
            f"the database can't be used in the application's role: {reason}",
            where="[database] role",
            code=ErrorCode.ROLE_UNUSABLE,
        ) from refusal
    return None
