"""Tables that the processes themselves keep: when tasks ran, and the test clock."""

from sqlalchemy import Column, Double, SmallInteger, Table

from billing.store.tables.columns import instant, metadata, text

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
