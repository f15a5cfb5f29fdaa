"""Tables of taxes: rates, where customers are, decisions, what invoices bear, and calls."""

from sqlalchemy import BigInteger, Boolean, Column, Computed, Date, Integer, SmallInteger, Table
from sqlalchemy.dialects.postgresql import JSONB

from billing.store.tables.columns import identifier, instant, metadata, text

tax_rates = Table(
    "tax_rates",
    metadata,
    text("country", primary_key=True),
    text("region", primary_key=True, server_default=""),
    text("tax_class", primary_key=True),
    text("name", primary_key=True),
    Column("since", Date, primary_key=True),
    Column("n", Integer, primary_key=True),
    Column("terms", JSONB, nullable=False),
    instant("published_at", nullable=False),
)

customer_tax_facts = Table(
    "customer_tax_facts",
    metadata,
    identifier("customer_id", primary_key=True),
    Column("n", Integer, primary_key=True),
    instant("holds_from", nullable=False),
    text("country"),
    text("region"),
    text("postal_code"),
    text("vat_id"),
    text("exempt"),
    instant("asked_at", nullable=False),
    text("actor", nullable=False),
    Column("follows_n", Integer, Computed("CASE WHEN n > 1 THEN n - 1 END", persisted=True)),
)

vat_checks = Table(
    "vat_checks",
    metadata,
    identifier("id", primary_key=True),
    text("vat_id", nullable=False),
    Column("confirmed", Boolean, nullable=False),
    text("reference"),
    instant("at", nullable=False),
)

vat_lookups = Table(
    "vat_lookups",
    metadata,
    text("vat_id", primary_key=True),
    instant("next_at", nullable=False),
    instant("held_until"),
    Column("failures", Integer, nullable=False, server_default="0"),
    text("last_error"),
)

credit_note_taxes = Table(
    "credit_note_taxes",
    metadata,
    identifier("note_id", primary_key=True),
    identifier("invoice_id", nullable=False),
    Column("n", SmallInteger, primary_key=True),
    Column("base", BigInteger, nullable=False),
    Column("amount", BigInteger, nullable=False),
)

tax_decisions = Table(
    "tax_decisions",
    metadata,
    identifier("id", primary_key=True),
    text("provider", nullable=False),
    text("request", nullable=False),
    text("request_digest", nullable=False),
    text("response", nullable=False),
    instant("at", nullable=False),
    instant("valid_until"),
    text("provider_ref"),
)

invoice_taxes = Table(
    "invoice_taxes",
    metadata,
    identifier("invoice_id", primary_key=True),
    Column("n", SmallInteger, primary_key=True),
    identifier("decision_id", nullable=False),
    text("name", nullable=False),
    text("jurisdiction", nullable=False),
    text("treatment", nullable=False),
    text("rate", nullable=False),
    Column("included", Boolean, nullable=False),
    text("reason", nullable=False),
    Column("base", BigInteger, nullable=False),
    Column("amount", BigInteger, nullable=False),
)

tax_calls = Table(
    "tax_calls",
    metadata,
    identifier("id", primary_key=True),
    text("kind", nullable=False),
    text("provider", nullable=False),
    identifier("customer_id", nullable=False),
    identifier("subscription_id"),
    Column("waits", Boolean, nullable=False, server_default="false"),
    identifier("invoice_id"),
    identifier("note_id"),
    identifier("follows_id"),
    text("reference"),
    text("request", nullable=False),
    text("idempotency_key", nullable=False),
    text("state", nullable=False, server_default="open"),
    instant("asked_at", nullable=False),
    instant("ended_at"),
    text("answer"),
    text("provider_ref"),
    identifier("decision_id"),
    text("refusal"),
    Column("sends", Integer, nullable=False, server_default="0"),
    instant("unknown_since"),
    text("error_class"),
    text("error_message"),
    instant("next_attempt_at"),
    instant("dispatch_after", nullable=False),
    instant("lease_until"),
)
