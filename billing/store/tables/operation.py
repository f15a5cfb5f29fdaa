"""Which engine this is, and what its processes keep: fences, when tasks ran, the test clock."""

from sqlalchemy import Boolean, Column, Double, SmallInteger, Table, func
from sqlalchemy.dialects.postgresql import JSONB

from billing.store.tables.columns import identifier, instant, metadata, text

engine = Table(
    "engine",
    metadata,
    Column("single", Boolean, primary_key=True, server_default="true"),
    identifier("id", nullable=False, server_default=func.gen_random_uuid()),
)

provider_fences = Table(
    "provider_fences",
    metadata,
    text("provider", primary_key=True),
    text("state", nullable=False),
    instant("since", nullable=False),
    text("cause"),
    Column("evidence", JSONB, nullable=False, server_default="{}"),
    instant("known_until"),
    text("checked_database", nullable=False),
    text("written_by"),
)

tasks = Table(
    "tasks",
    metadata,
    text("task", primary_key=True),
    instant("last_started_at", nullable=False),
    instant("last_success_at"),
    Column("last_seconds", Double),
    instant("watermark"),
    text("last_error"),
)

test_clock = Table(
    "test_clock",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False, server_default="1"),
    instant("now", nullable=False),
)
