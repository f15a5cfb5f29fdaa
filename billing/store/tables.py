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
    LargeBinary,
    MetaData,
    Numeric,
    SmallInteger,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

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
    _instant("recognise_at"),
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
    _id("payment_method_id"),
    _text("capture_method", nullable=False, server_default="automatic"),
    _text("description", nullable=False, server_default=""),
    _instant("authorized_until"),
    Column("capture_amount", BigInteger),
    _instant("settled_at"),
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
    _text("currency"),
    _text("assigned_to"),
    _text("resolved_by"),
    _id("run_id"),
    _text("provider_transaction_id"),
)

break_notes = Table(
    "break_notes",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _id("break_id", nullable=False),
    _instant("at", nullable=False),
    _text("actor", nullable=False),
    _text("words", nullable=False),
)

refunds = Table(
    "refunds",
    metadata,
    _id("id", primary_key=True),
    _id("payment_id", nullable=False),
    Column("amount", BigInteger, nullable=False),
    _text("currency", nullable=False),
    _text("state", nullable=False),
    Column("recognised", BigInteger, nullable=False),
    Column("deferred", BigInteger, nullable=False),
    Column("tax", BigInteger, nullable=False),
    _text("reason", nullable=False),
    _text("requested_by", nullable=False),
    _text("idempotency_key", nullable=False),
    Column("key_n", SmallInteger, nullable=False, server_default="1"),
    _text("provider_refund_id"),
    _text("failure_reason"),
    _instant("first_sent_at"),
    Column("sends", Integer, nullable=False, server_default="0"),
    _instant("unknown_since"),
    _text("last_error"),
    _instant("next_attempt_at"),
    _instant("dispatch_after", nullable=False),
    _instant("lease_until"),
    _instant("created_at", nullable=False),
    _instant("finished_at"),
    _instant("settled_at"),
)

disputes = Table(
    "disputes",
    metadata,
    _id("id", primary_key=True),
    _text("provider_dispute_id", nullable=False),
    _id("payment_id"),
    _text("provider_charge_id", nullable=False),
    Column("amount", BigInteger, nullable=False),
    _text("currency", nullable=False),
    _text("reason", nullable=False),
    _text("provider_status", nullable=False),
    _text("state", nullable=False),
    Column("funds_withdrawn", Boolean, nullable=False, server_default="false"),
    Column("fee", BigInteger, nullable=False, server_default="0"),
    _text("fee_currency"),
    Column("transaction_ids", ARRAY(Text), nullable=False, server_default="{}"),
    Column("times_lost", SmallInteger, nullable=False, server_default="0"),
    Column("lost_recognised", BigInteger, nullable=False, server_default="0"),
    Column("lost_deferred", BigInteger, nullable=False, server_default="0"),
    Column("lost_tax", BigInteger, nullable=False, server_default="0"),
    _instant("opened_at", nullable=False),
    _instant("closed_at"),
    _instant("updated_at", nullable=False),
)

provider_events = Table(
    "provider_events",
    metadata,
    _text("event_id", primary_key=True),
    _text("type", nullable=False),
    _text("object_id", nullable=False),
    _instant("created", nullable=False),
    _instant("received_at", nullable=False),
    _text("source", nullable=False),
    Column("payload", JSONB, nullable=False),
    _instant("handled_at"),
    _text("handling"),
    Column("tries", Integer, nullable=False, server_default="0"),
    _text("last_error"),
    _instant("next_try_at"),
)

reconciliation_runs = Table(
    "reconciliation_runs",
    metadata,
    _id("id", primary_key=True),
    _text("source", nullable=False),
    _text("reference", nullable=False),
    _instant("window_from", nullable=False),
    _instant("window_to", nullable=False),
    _text("state", nullable=False),
    _instant("started_at", nullable=False),
    _instant("finished_at"),
)

reconciliation_steps = Table(
    "reconciliation_steps",
    metadata,
    _id("run_id", primary_key=True),
    _text("step", primary_key=True),
    Column("position", SmallInteger, nullable=False),
    _text("state", nullable=False),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("cursor", JSONB, nullable=False, server_default="{}"),
    Column("counts", JSONB, nullable=False, server_default="{}"),
    _text("last_error"),
    _instant("started_at"),
    _instant("finished_at"),
    _instant("lease_until"),
)

settlement_rows = Table(
    "settlement_rows",
    metadata,
    _text("provider_transaction_id", primary_key=True),
    _id("run_id", nullable=False),
    _text("category", nullable=False),
    _text("source_id"),
    _text("provider_payment_id"),
    _text("provider_charge_id"),
    Column("amount", BigInteger, nullable=False),
    Column("fee", BigInteger, nullable=False),
    Column("net", BigInteger, nullable=False),
    _text("currency", nullable=False),
    Column("customer_amount", BigInteger),
    _text("customer_currency"),
    Column("exchange_rate", Numeric),
    _text("provider_payout_id"),
    _instant("created", nullable=False),
    _instant("available_on"),
    Column("metadata", JSONB, nullable=False, server_default="{}"),
    _text("outcome"),
    _id("payment_id"),
    _instant("matched_at"),
    _instant("posted_at"),
)

payouts = Table(
    "payouts",
    metadata,
    _text("provider_payout_id", primary_key=True),
    Column("amount", BigInteger, nullable=False),
    _text("currency", nullable=False),
    _text("status", nullable=False),
    _instant("created", nullable=False),
    _instant("arrival"),
    _instant("updated_at", nullable=False),
)

fx_events = Table(
    "fx_events",
    metadata,
    _id("id", primary_key=True),
    _text("source_key", nullable=False),
    _text("source", nullable=False),
    _text("from_currency", nullable=False),
    Column("from_amount", BigInteger, nullable=False),
    _text("to_currency", nullable=False),
    Column("to_amount", BigInteger, nullable=False),
    Column("rate", Numeric, nullable=False),
    _instant("at", nullable=False),
    _id("payment_id"),
)

revenue_recognitions = Table(
    "revenue_recognitions",
    metadata,
    _id("invoice_id", primary_key=True),
    _instant("through", primary_key=True),
    Column("amount", BigInteger, nullable=False),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    _text("scope", primary_key=True),
    _text("key", primary_key=True),
    Column("request_hash", LargeBinary, nullable=False),
    _text("operation", nullable=False),
    _id("resource_id"),
    Column("status", Integer),
    Column("response", JSONB(none_as_null=True)),
    _instant("lease_until"),
    _instant("created_at", nullable=False),
    _instant("finished_at"),
)

api_keys = Table(
    "api_keys",
    metadata,
    _text("id", primary_key=True),
    _text("name", nullable=False),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    _instant("created_at", nullable=False),
    _instant("last_used_at"),
    _instant("revoked_at"),
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _instant("at", nullable=False),
    _text("actor", nullable=False),
    _text("action", nullable=False),
    _text("subject", nullable=False),
    _text("why", nullable=False, server_default=""),
    Column("detail", JSONB, nullable=False, server_default="{}"),
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
