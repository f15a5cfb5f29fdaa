"""Tables of events received, API keys, sessions and requests, and the audit log."""

from sqlalchemy import BigInteger, Column, Identity, Integer, LargeBinary, Table, Text, func
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from billing.store.tables.columns import identifier, instant, metadata, month, text

provider_events = Table(
    "provider_events",
    metadata,
    text("provider", primary_key=True),
    text("event_id", primary_key=True),
    text("type", nullable=False),
    text("kind", nullable=False),
    text("object_id", nullable=False),
    instant("created", nullable=False),
    instant("received_at", nullable=False),
    text("source", nullable=False),
    Column("payload", JSONB, nullable=False),
    instant("handled_at"),
    text("handling"),
    Column("facts", JSONB, nullable=False, server_default="{}"),
    Column("tries", Integer, nullable=False, server_default="0"),
    text("last_error"),
    instant("next_try_at"),
    month(),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    text("scope", primary_key=True),
    text("key", primary_key=True),
    Column("request_hash", LargeBinary, nullable=False),
    text("operation", nullable=False),
    identifier("resource_id"),
    Column("status", Integer),
    Column("response", JSONB(none_as_null=True)),
    instant("lease_until"),
    instant("created_at", nullable=False),
    instant("finished_at"),
    identifier("customer_id"),
)

api_keys = Table(
    "api_keys",
    metadata,
    text("id", primary_key=True),
    text("name", nullable=False),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    instant("created_at", nullable=False),
    instant("last_used_at"),
    instant("revoked_at"),
)

console_sessions = Table(
    "console_sessions",
    metadata,
    text("token_hash", primary_key=True),
    text("key_id", nullable=False),
    instant("created_at", nullable=False),
    instant("expires_at", nullable=False),
    instant("ended_at"),
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    instant("at", nullable=False, server_default=func.now()),
    text("actor", nullable=False),
    text("action", nullable=False),
    text("subject", nullable=False),
    text("why", nullable=False, server_default=""),
    Column("detail", JSONB, nullable=False, server_default="{}"),
    month(),
)
