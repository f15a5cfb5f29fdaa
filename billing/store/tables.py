"""The tables as SQLAlchemy Core sees them. The truth is in `migrations/`: a test compares.

Checks, triggers and partial indexes live in the migrations only; here is what queries need.
Money is bigint minor units, every instant is timestamptz, read and written as UTC.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Computed,
    Date,
    DateTime,
    Double,
    Identity,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData()


def _text(name: str, **kw: Any) -> Column[str]:
    return Column(name, Text, **kw)


def _instant(name: str, **kw: Any) -> Column[Any]:
    return Column(name, DateTime(timezone=True), **kw)


def _id(name: str, **kw: Any) -> Column[Any]:
    return Column(name, Uuid, **kw)


plans = Table(
    "plans",
    metadata,
    _text("code", primary_key=True),
    _text("product", nullable=False),
    _text("name", nullable=False),
    Column("dunning", JSONB(none_as_null=True)),
    _text("catch_up"),
    _instant("applied_at", nullable=False),
)

plan_versions = Table(
    "plan_versions",
    metadata,
    _text("plan", primary_key=True),
    Column("effective", Date, primary_key=True),
    Column("terms", JSONB, nullable=False),
    _text("digest", nullable=False),
    _instant("published_at", nullable=False),
)

customers = Table(
    "customers",
    metadata,
    _id("id", primary_key=True),
    _text("external_id"),
    _text("name", nullable=False),
    _text("email"),
    _text("provider_customer_id"),
    _id("default_payment_method_id"),
    _instant("created_at", nullable=False),
)

payment_methods = Table(
    "payment_methods",
    metadata,
    _id("id", primary_key=True),
    _id("customer_id", nullable=False),
    _text("provider_payment_method_id", nullable=False),
    _text("brand", nullable=False),
    _text("last4", nullable=False),
    Column("exp_month", SmallInteger, nullable=False),
    Column("exp_year", SmallInteger, nullable=False),
    _instant("created_at", nullable=False),
)

subscriptions = Table(
    "subscriptions",
    metadata,
    _id("id", primary_key=True),
    _text("external_id"),
    _id("customer_id", nullable=False),
    _text("plan", nullable=False),
    Column("plan_version", Date, nullable=False),
    _text("currency", nullable=False),
    Column("quantity", Integer, nullable=False),
    _text("invoice_prefix", nullable=False),
    _text("status", nullable=False),
    Column("anchor_local", DateTime(timezone=False), nullable=False),
    _text("zone", nullable=False),
    _text("every", nullable=False),
    _text("trial"),
    Column("anchor_day", SmallInteger),
    Column("next_n", Integer, nullable=False, server_default="0"),
    _instant("renews_at"),
    Column("cancel_at_period_end", Boolean, nullable=False, server_default="false"),
    _instant("parked_at"),
    _text("parked_error"),
    _text("parked_reason"),
    _instant("canceled_at"),
    _instant("created_at", nullable=False),
)

subscription_events = Table(
    "subscription_events",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _id("subscription_id", nullable=False),
    _instant("at", nullable=False),
    _text("kind", nullable=False),
    _text("actor", nullable=False),
    _text("words", nullable=False),
    Column("detail", JSONB, nullable=False, server_default="{}"),
)

cycles = Table(
    "cycles",
    metadata,
    _id("id", primary_key=True),
    _id("subscription_id", nullable=False),
    Column("n", Integer, nullable=False),
    _text("kind", nullable=False),
    _instant("period_start", nullable=False),
    _instant("period_end", nullable=False),
    _text("plan", nullable=False),
    Column("plan_version", Date, nullable=False),
    _text("state", nullable=False, server_default="opened"),
    _instant("opened_at", nullable=False),
    _instant("closed_at"),
    _text("digest"),
    Column("follows_n", Integer, Computed("CASE WHEN n > 0 THEN n - 1 END", persisted=True)),
)

invoices = Table(
    "invoices",
    metadata,
    _id("id", primary_key=True),
    _id("cycle_id", nullable=False),
    _id("subscription_id", nullable=False),
    _id("customer_id", nullable=False),
    _text("number", nullable=False),
    _text("currency", nullable=False),
    Column("net", BigInteger, nullable=False),
    Column("tax", BigInteger, nullable=False),
    Column("total", BigInteger, nullable=False),
    _text("status", nullable=False),
    _instant("issued_at", nullable=False),
    _instant("resolved_at"),
)

invoice_lines = Table(
    "invoice_lines",
    metadata,
    _id("invoice_id", primary_key=True),
    Column("line", SmallInteger, primary_key=True),
    _text("description", nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("unit_amount", BigInteger, nullable=False),
    Column("amount", BigInteger, nullable=False),
)

payments = Table(
    "payments",
    metadata,
    _id("id", primary_key=True),
    _id("invoice_id"),
    _id("subscription_id"),
    _id("customer_id", nullable=False),
    Column("amount", BigInteger, nullable=False),
    _text("currency", nullable=False),
    _text("state", nullable=False),
    _text("provider_payment_id"),
    _text("provider_charge_id"),
    Column("amount_captured", BigInteger, nullable=False, server_default="0"),
    Column("amount_refunded", BigInteger, nullable=False, server_default="0"),
    Column("attempt_n", Integer, nullable=False, server_default="0"),
    Column("rung", Integer, nullable=False, server_default="0"),
    _instant("next_attempt_at"),
    _text("next_attempt_kind"),
    _instant("dispatch_after", nullable=False),
    _instant("lease_until"),
    _text("decline_code"),
    _text("decline_class"),
    _text("decision"),
    _instant("parked_at"),
    _text("parked_error"),
    _text("parked_reason"),
    _instant("captured_at"),
    _instant("confirmed_at"),
    _instant("created_at", nullable=False),
    _instant("updated_at", nullable=False),
)

payment_transitions = Table(
    "payment_transitions",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _id("payment_id", nullable=False),
    _text("from_state", nullable=False),
    _text("to_state", nullable=False),
    _instant("at", nullable=False),
    _text("actor", nullable=False),
    _text("cause", nullable=False),
    Column("evidence", JSONB, nullable=False, server_default="{}"),
)

attempts = Table(
    "attempts",
    metadata,
    _id("payment_id", primary_key=True),
    Column("n", Integer, primary_key=True),
    _text("kind", nullable=False),
    _text("idempotency_key", nullable=False),
    _id("payment_method_id", nullable=False),
    Column("request", JSONB, nullable=False),
    Column("rung", Integer, nullable=False),
    _instant("first_sent_at", nullable=False),
    Column("sends", Integer, nullable=False, server_default="1"),
    _instant("unknown_since"),
    _text("last_error"),
    _instant("finished_at"),
    _text("outcome"),
    _text("decline_code"),
    _text("advice_code"),
    _text("decline_class"),
    _text("message"),
    _text("provider_request_id"),
    _text("decision"),
)

breaks = Table(
    "breaks",
    metadata,
    _id("id", primary_key=True),
    _text("kind", nullable=False),
    _text("dedupe_key", nullable=False),
    _id("cycle_id"),
    _id("payment_id"),
    Column("ours", JSONB, nullable=False),
    Column("provider", JSONB, nullable=False),
    _text("suggested_cause", nullable=False),
    _instant("found_at", nullable=False),
    _instant("resolved_at"),
    _text("resolution"),
)

tasks = Table(
    "tasks",
    metadata,
    _text("task", primary_key=True),
    _instant("last_started_at", nullable=False),
    _instant("last_success_at"),
    Column("last_seconds", Double),
    _instant("watermark"),
    _text("last_error"),
)

test_clock = Table(
    "test_clock",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False, server_default="1"),
    _instant("now", nullable=False),
)
