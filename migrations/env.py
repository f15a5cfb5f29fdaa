"""Runs migrations: one transaction for all, giving up early instead of stopping billing.

`lock_timeout`: a migration that waits for a lock queues every query behind it.
"""

from alembic import context
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from billing.store.tables import metadata

LOCK_TIMEOUT = "3s"
ONE_AT_A_TIME = 7263548201  # arbitrary; two `db migrate` at once take turns


def run() -> None:
    """Run what the configured database lacks."""
    engine = create_engine(
        context.config.get_main_option("sqlalchemy.url") or "", poolclass=NullPool
    )
    with engine.connect() as connection, connection.begin():
        connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
        connection.execute(text("SET timezone = 'UTC'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ONE_AT_A_TIME})
        context.configure(
            connection=connection, target_metadata=metadata, transaction_per_migration=False
        )
        context.run_migrations()


run()
