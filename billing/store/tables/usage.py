"""Tables of usage: events with their ids, totals of periods, and what was sealed."""

from sqlalchemy import BigInteger, Column, Computed, Date, Integer, Numeric, SmallInteger, Table

from billing.store.tables.columns import identifier, instant, metadata, text

usage_ids = Table(
    "usage_ids",
    metadata,
    identifier("id", primary_key=True),
    Column("received_on", Date, primary_key=True),
    instant("at", nullable=False),
    Column("payload", BigInteger, nullable=False),
)

usage_events = Table(
    "usage_events",
    metadata,
    identifier("id", primary_key=True),
    instant("at", primary_key=True),
    text("meter", primary_key=True),
    identifier("subscription_id", nullable=False),
    Column("n", Integer, nullable=False),
    Column("segment", SmallInteger, nullable=False),
    instant("received_at", nullable=False),
    Column("payload", BigInteger, nullable=False),
    Column("value", Numeric),
    identifier("key"),
)

usage_totals = Table(
    "usage_totals",
    metadata,
    identifier("subscription_id", primary_key=True),
    text("meter", primary_key=True),
    Column("n", Integer, primary_key=True),
    Column("segment", SmallInteger, primary_key=True),
    Column("events", BigInteger, nullable=False),
    Column("id_sum", Numeric, nullable=False),
    Column("sum", Numeric),
    Column("max", Numeric),
    instant("last_at"),
    identifier("last_id"),
    Column("last", Numeric),
    Column("moment", Numeric),
    Column("keys", BigInteger),
)

usage_keys = Table(
    "usage_keys",
    metadata,
    identifier("subscription_id", primary_key=True),
    text("meter", primary_key=True),
    Column("n", Integer, primary_key=True),
    Column("segment", SmallInteger, primary_key=True),
    identifier("key", primary_key=True),
)

usage_counts = Table(
    "usage_counts",
    metadata,
    Column("received_on", Date, primary_key=True),
    text("outcome", primary_key=True),
    Column("slot", SmallInteger, primary_key=True),
    Column("events", BigInteger, nullable=False),
)

usage_days = Table(
    "usage_days",
    metadata,
    Column("day", Date, primary_key=True),
    Column("events", BigInteger, nullable=False),
    Column("counted", BigInteger, nullable=False),
    Column("id_sum", Numeric, nullable=False),
    instant("sealed_at", nullable=False),
    text("actor", nullable=False),
)

usage_sealed = Table(
    "usage_sealed",
    metadata,
    identifier("subscription_id", primary_key=True),
    text("meter", primary_key=True),
    Column("n", Integer, primary_key=True),
    Column("segment", SmallInteger, primary_key=True),
    Column("events", BigInteger, nullable=False),
    Column("id_sum", Numeric, nullable=False),
    Column("sum", Numeric),
    Column("max", Numeric),
    instant("last_at"),
    identifier("last_id"),
    Column("last", Numeric),
    Column("moment", Numeric),
)

usage_closings = Table(
    "usage_closings",
    metadata,
    identifier("subscription_id", primary_key=True),
    text("meter", primary_key=True),
    Column("n", Integer, primary_key=True),
    Column("segment", SmallInteger, primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("quantity", Numeric, nullable=False),
    Column("events", BigInteger, nullable=False),
    Column("id_sum", Numeric, nullable=False),
    identifier("invoice_id"),
    instant("at", nullable=False),
    Column(
        "follows",
        Integer,
        Computed("CASE WHEN revision > 1 THEN revision - 1 END", persisted=True),
    ),
)
