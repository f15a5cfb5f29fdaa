"""Tables of what is sold beside plans: add-ons, coupons, and who redeemed them."""

from sqlalchemy import Column, Date, Integer, Table, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from billing.store.tables.columns import identifier, instant, metadata, text

addons = Table(
    "addons",
    metadata,
    text("code", primary_key=True),
    text("name", nullable=False),
    Column("fits", ARRAY(Text), nullable=False),
    Column("retired", Date),
    instant("applied_at", nullable=False),
)

addon_versions = Table(
    "addon_versions",
    metadata,
    text("addon", primary_key=True),
    Column("effective", Date, primary_key=True),
    Column("terms", JSONB, nullable=False),
    text("digest", nullable=False),
    instant("published_at", nullable=False),
)

addon_corrections = Table(
    "addon_corrections",
    metadata,
    text("addon", primary_key=True),
    Column("effective", Date, primary_key=True),
    Column("n", Integer, primary_key=True),
    Column("terms", JSONB(none_as_null=True)),
    text("digest"),
    instant("corrected_at", nullable=False),
)

coupons = Table(
    "coupons",
    metadata,
    text("code", primary_key=True),
    Column("terms", JSONB, nullable=False),
    text("digest", nullable=False),
    Column("redeemable_until", Date),
    Column("redemptions_max", Integer),
    instant("published_at", nullable=False),
    instant("applied_at", nullable=False),
)

redemptions = Table(
    "redemptions",
    metadata,
    identifier("id", primary_key=True),
    text("coupon", nullable=False),
    text("digest", nullable=False),
    identifier("customer_id", nullable=False),
    identifier("subscription_id"),
    instant("at", nullable=False),
    text("actor", nullable=False),
)
