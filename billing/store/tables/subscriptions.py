"""Tables of plans, customers, subscriptions and cycles."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Computed,
    Date,
    DateTime,
    Identity,
    Integer,
    SmallInteger,
    Table,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB

from billing.store.tables.columns import identifier, instant, metadata, month, text

plans = Table(
    "plans",
    metadata,
    text("code", primary_key=True),
    text("product", nullable=False),
    text("name", nullable=False),
    Column("dunning", JSONB(none_as_null=True)),
    text("catch_up"),
    Column("retired", Date),
    Column("one_per_customer", Boolean, nullable=False, server_default="false"),
    Column("trial_once", Boolean, nullable=False, server_default="false"),
    text("on_dispute", nullable=False, server_default="continue"),
    text("change_up", nullable=False, server_default="now"),
    text("change_down", nullable=False, server_default="period_end"),
    text("change_credit", nullable=False, server_default="next_invoice"),
    instant("applied_at", nullable=False),
)

plan_versions = Table(
    "plan_versions",
    metadata,
    text("plan", primary_key=True),
    Column("effective", Date, primary_key=True),
    Column("terms", JSONB, nullable=False),
    text("digest", nullable=False),
    instant("published_at", nullable=False),
)

plan_corrections = Table(
    "plan_corrections",
    metadata,
    text("plan", primary_key=True),
    Column("effective", Date, primary_key=True),
    Column("n", Integer, primary_key=True),
    Column("terms", JSONB(none_as_null=True)),
    text("digest"),
    instant("corrected_at", nullable=False),
)

customers = Table(
    "customers",
    metadata,
    identifier("id", primary_key=True),
    text("external_id"),
    text("name", nullable=False),
    text("email"),
    instant("created_at", nullable=False),
    identifier("engine_id", server_default=func.this_engine()),
    text("provider", nullable=False),
)

provider_customers = Table(
    "provider_customers",
    metadata,
    identifier("id", primary_key=True),
    identifier("customer_id", nullable=False),
    text("provider", nullable=False),
    text("provider_customer_id"),
    identifier("payment_method_id"),
    instant("created_at", nullable=False),
)

payment_methods = Table(
    "payment_methods",
    metadata,
    identifier("id", primary_key=True),
    identifier("customer_id", nullable=False),
    text("provider_payment_method_id", nullable=False),
    text("kind", nullable=False),
    text("brand"),
    text("last4"),
    Column("exp_month", SmallInteger),
    Column("exp_year", SmallInteger),
    instant("created_at", nullable=False),
    text("provider", nullable=False),
    instant("changed_at"),
)

_OPENS_AT = (
    "((renews_at AT TIME ZONE 'UTC') + make_interval("
    "secs => CASE WHEN cancels_at <= renews_at THEN 0 ELSE usage_wait_seconds END"
    ")) AT TIME ZONE 'UTC'"
)

subscriptions = Table(
    "subscriptions",
    metadata,
    identifier("id", primary_key=True),
    text("external_id"),
    identifier("customer_id", nullable=False),
    text("plan", nullable=False),
    Column("plan_version", Date, nullable=False),
    text("currency", nullable=False),
    Column("quantity", Integer, nullable=False),
    text("invoice_prefix", nullable=False),
    text("status", nullable=False),
    Column("anchor_local", DateTime(timezone=False), nullable=False),
    text("zone", nullable=False),
    text("every", nullable=False),
    text("trial"),
    Column("anchor_day", SmallInteger),
    Column("anchor_month", SmallInteger),
    Column("anchor_weekday", SmallInteger),
    Column("next_n", Integer, nullable=False, server_default="0"),
    instant("renews_at"),
    instant("cancels_at"),
    text("ended_by"),
    Column("carried", BigInteger, nullable=False, server_default="0"),
    instant("parked_at"),
    text("parked_error"),
    text("parked_reason"),
    Column("parked_facts", JSONB, nullable=False, server_default="{}"),
    instant("canceled_at"),
    instant("created_at", nullable=False),
    text("provider"),
    Column("month_day", SmallInteger),
    Column("segment_from_n", Integer, nullable=False, server_default="0"),
    instant("segment_starts_at"),
    Column("segments_to_come", JSONB(none_as_null=True)),
    Column("usage_from_n", Integer),
    Column("usage_wait_seconds", Integer, nullable=False, server_default="0"),
    Column("opens_at", DateTime(timezone=True), Computed(_OPENS_AT, persisted=True)),
    instant("usage_due_at"),
)

segments = Table(
    "segments",
    metadata,
    identifier("subscription_id", primary_key=True),
    Column("from_n", Integer, primary_key=True),
    instant("starts_at"),
    Column("anchor_local", DateTime(timezone=False), nullable=False),
    text("zone", nullable=False),
    text("every", nullable=False),
    text("trial"),
    Column("anchor_day", SmallInteger),
    Column("anchor_month", SmallInteger),
    Column("anchor_weekday", SmallInteger),
    Column("month_day", SmallInteger),
)

digest_zones = Table(
    "digest_zones",
    metadata,
    identifier("cycle_id", primary_key=True),
    text("zone", nullable=False),
    instant("found_at", nullable=False, server_default=func.now()),
    text("actor", nullable=False),
)

subscription_events = Table(
    "subscription_events",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    identifier("subscription_id", nullable=False),
    instant("at", nullable=False),
    text("kind", nullable=False),
    text("actor", nullable=False),
    text("words"),
    Column("detail", JSONB, nullable=False, server_default="{}"),
    month(),
)

subscription_changes = Table(
    "subscription_changes",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    identifier("subscription_id", nullable=False),
    text("kind", nullable=False),
    instant("holds_from", nullable=False),
    instant("asked_at", nullable=False),
    text("actor", nullable=False),
    text("why", nullable=False),
    month(),
    identifier("change_id"),
    text("applies"),
    identifier("withdraws"),
    Column("detail", JSONB, nullable=False, server_default="{}"),
)

subscription_items = Table(
    "subscription_items",
    metadata,
    identifier("subscription_id", primary_key=True),
    text("item", primary_key=True),
    Column("quantity", Integer, nullable=False),
    text("addon"),
    Column("addon_version", Date),
    identifier("billed_in"),
)

cycles = Table(
    "cycles",
    metadata,
    identifier("id", primary_key=True),
    identifier("subscription_id", nullable=False),
    Column("n", Integer, nullable=False),
    text("kind", nullable=False),
    instant("period_start", nullable=False),
    instant("period_end", nullable=False),
    text("plan", nullable=False),
    Column("plan_version", Date, nullable=False),
    text("state", nullable=False, server_default="opened"),
    instant("opened_at", nullable=False),
    instant("closed_at"),
    text("digest"),
    identifier("customer_id", nullable=False),
    Column("after_cut", Boolean, nullable=False, server_default="false"),
    Column(
        "follows_n",
        Integer,
        Computed("CASE WHEN n > 0 AND NOT after_cut THEN n - 1 END", persisted=True),
    ),
    Column(
        "follows_cut_n",
        Integer,
        Computed("CASE WHEN after_cut THEN n - 1 END", persisted=True),
    ),
)

cycle_cuts = Table(
    "cycle_cuts",
    metadata,
    identifier("subscription_id", primary_key=True),
    Column("n", Integer, primary_key=True),
    instant("cut_at", nullable=False),
    identifier("change_id", nullable=False),
)
