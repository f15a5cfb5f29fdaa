"""Tables of the provider's settlement and of breaks."""

from sqlalchemy import BigInteger, Column, Identity, Integer, Numeric, SmallInteger, Table
from sqlalchemy.dialects.postgresql import JSONB

from billing.store.tables.columns import identifier, instant, metadata, month, text

reconciliation_runs = Table(
    "reconciliation_runs",
    metadata,
    identifier("id", primary_key=True),
    text("provider", nullable=False),
    text("source", nullable=False),
    text("reference", nullable=False),
    instant("window_from", nullable=False),
    instant("window_to", nullable=False),
    text("state", nullable=False),
    instant("started_at", nullable=False),
    instant("finished_at"),
)

reconciliation_steps = Table(
    "reconciliation_steps",
    metadata,
    identifier("run_id", primary_key=True),
    text("step", primary_key=True),
    Column("position", SmallInteger, nullable=False),
    text("state", nullable=False),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("cursor", JSONB, nullable=False, server_default="{}"),
    Column("counts", JSONB, nullable=False, server_default="{}"),
    text("last_error"),
    instant("started_at"),
    instant("finished_at"),
    instant("lease_until"),
)

settlement_rows = Table(
    "settlement_rows",
    metadata,
    text("provider", primary_key=True),
    text("provider_transaction_id", primary_key=True),
    identifier("run_id", nullable=False),
    text("kind", nullable=False),
    text("category", nullable=False),
    text("source_id"),
    text("provider_payment_id"),
    text("provider_charge_id"),
    Column("amount", BigInteger, nullable=False),
    Column("fee", BigInteger, nullable=False),
    Column("net", BigInteger, nullable=False),
    text("currency", nullable=False),
    Column("customer_amount", BigInteger),
    text("customer_currency"),
    Column("exchange_rate", Numeric),
    text("provider_payout_id"),
    instant("created", nullable=False),
    instant("available_on"),
    Column("metadata", JSONB, nullable=False, server_default="{}"),
    text("outcome"),
    identifier("payment_id"),
    instant("matched_at"),
    instant("posted_at"),
    month(),
)

payouts = Table(
    "payouts",
    metadata,
    text("provider", primary_key=True),
    text("provider_payout_id", primary_key=True),
    Column("amount", BigInteger, nullable=False),
    text("currency", nullable=False),
    text("status", nullable=False),
    instant("created", nullable=False),
    instant("arrival"),
    instant("updated_at", nullable=False),
)

fx_events = Table(
    "fx_events",
    metadata,
    identifier("id", primary_key=True),
    text("provider", nullable=False),
    text("source_key", nullable=False),
    text("source", nullable=False),
    text("from_currency", nullable=False),
    Column("from_amount", BigInteger, nullable=False),
    text("to_currency", nullable=False),
    Column("to_amount", BigInteger, nullable=False),
    Column("rate", Numeric, nullable=False),
    instant("at", nullable=False),
    identifier("payment_id"),
)

breaks = Table(
    "breaks",
    metadata,
    identifier("id", primary_key=True),
    text("provider", nullable=False),
    text("kind", nullable=False),
    text("dedupe_key", nullable=False),
    identifier("cycle_id"),
    identifier("payment_id"),
    Column("ours", JSONB, nullable=False),
    Column("theirs", JSONB, nullable=False),
    text("suggested_cause", nullable=False),
    instant("found_at", nullable=False),
    instant("resolved_at"),
    text("resolution"),
    text("currency"),
    text("assigned_to"),
    text("resolved_by"),
    identifier("run_id"),
    text("provider_transaction_id"),
    identifier("customer_id"),
)

break_notes = Table(
    "break_notes",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    identifier("break_id", nullable=False),
    instant("at", nullable=False),
    text("actor", nullable=False),
    text("kind", nullable=False),
    text("words"),
    Column("facts", JSONB, nullable=False, server_default="{}"),
)
