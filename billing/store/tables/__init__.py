"""The tables as SQLAlchemy Core sees them. `migrations/` defines the schema, and a test compares
the two.

Checks, triggers and partial indexes live in the migrations only; here is what queries need.
Money is bigint minor units, every instant is timestamptz, read and written as UTC.
"""

from billing.store.tables.access import api_keys, audit_log, idempotency_keys, provider_events
from billing.store.tables.columns import metadata
from billing.store.tables.extras import (
    addon_corrections,
    addon_versions,
    addons,
    coupons,
    redemptions,
)
from billing.store.tables.operation import engine, provider_fences, tasks, test_clock
from billing.store.tables.payments import (
    attempts,
    credit_grants,
    credit_moves,
    credit_note_lines,
    credit_notes,
    disputes,
    invoice_discounts,
    invoice_lines,
    invoices,
    payment_transitions,
    payments,
    provider_calls,
    refunds,
    revenue_recognitions,
)
from billing.store.tables.settlement import (
    break_notes,
    breaks,
    fx_events,
    payouts,
    reconciliation_runs,
    reconciliation_steps,
    settlement_rows,
)
from billing.store.tables.subscriptions import (
    customers,
    cycles,
    digest_zones,
    payment_methods,
    plan_corrections,
    plan_versions,
    plans,
    provider_customers,
    subscription_changes,
    subscription_events,
    subscription_items,
    subscriptions,
)

__all__ = [
    "addon_corrections",
    "addon_versions",
    "addons",
    "api_keys",
    "attempts",
    "audit_log",
    "break_notes",
    "breaks",
    "coupons",
    "credit_grants",
    "credit_moves",
    "credit_note_lines",
    "credit_notes",
    "customers",
    "cycles",
    "digest_zones",
    "disputes",
    "engine",
    "fx_events",
    "idempotency_keys",
    "invoice_discounts",
    "invoice_lines",
    "invoices",
    "metadata",
    "payment_methods",
    "payment_transitions",
    "payments",
    "payouts",
    "plan_corrections",
    "plan_versions",
    "plans",
    "provider_calls",
    "provider_customers",
    "provider_events",
    "provider_fences",
    "reconciliation_runs",
    "reconciliation_steps",
    "redemptions",
    "refunds",
    "revenue_recognitions",
    "settlement_rows",
    "subscription_changes",
    "subscription_events",
    "subscription_items",
    "subscriptions",
    "tasks",
    "test_clock",
]
