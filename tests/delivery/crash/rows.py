"""What stands in PostgreSQL, in words without ids and times, and what is new in it."""

import functools
from collections import Counter
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Engine, TextClause, text

# The words of a row, by table, in the order in which they are told. `:wall` is real time, `:now`
# domain time.
_HELD: Final = (
    "CASE WHEN lease_until > :wall THEN ', leased'"
    " WHEN dispatch_after > :wall AND next_attempt_at <= :now THEN ', dispatched' ELSE '' END"
)
_DUE: Final = (
    "CASE WHEN next_attempt_at <= :now THEN ', due' WHEN next_attempt_at IS NOT NULL"
    " THEN ', due later' ELSE '' END"
)
_PARKED: Final = "CASE WHEN parked_at IS NULL THEN '' ELSE ', parked' END"
WORDS: Final[Mapping[str, str]] = {
    "idempotency_keys": "'key of ' || operation || CASE WHEN finished_at IS NOT NULL THEN"
    " ' answered with ' || status WHEN lease_until > :wall THEN ' claimed' ELSE ' free' END",
    "provider_customers": "'customer' || CASE WHEN provider_customer_id IS NULL THEN '' ELSE"
    " ' known to the provider' END || CASE WHEN payment_method_id IS NULL THEN '' ELSE"
    " ' with a payment method' END",
    "payment_methods": "'payment method'",
    "subscriptions": "'subscription ' || status || CASE WHEN cancels_at IS NULL THEN ''"
    f" ELSE ', to be canceled' END || {_PARKED}",
    "subscription_items": "'item' || CASE WHEN billed_in IS NULL THEN '' ELSE ' charged once' END",
    "cycles": "'cycle ' || state",
    "invoices": "'invoice ' || status",
    "credit_grants": "'credit (' || source || ')'",
    "credit_moves": "'credit ' || kind",
    "payments": f"'payment ' || state || {_DUE} || {_HELD} || {_PARKED} ||"
    " CASE WHEN confirmed_at IS NULL THEN '' ELSE ', confirmed' END",
    "attempts": "'attempt ' || n || ' ' || coalesce(outcome, 'open')",
    "provider_calls": "'call ' || kind || ', ' || CASE WHEN n = 1 THEN '' ELSE 'no. ' || n || ', '"
    " END || CASE WHEN sends = 1 THEN 'sent once' ELSE 'sent ' || sends || ' times' END || ', ' ||"
    " coalesce(outcome, 'open')",
    "credit_notes": "'credit note to ' || destination",
    "refunds": f"'refund ' || state || {_DUE} || {_HELD}",
    "disputes": "'dispute ' || state",
    "provider_events": "'event ' || kind || CASE WHEN next_try_at IS NULL THEN ' handled'"
    " WHEN next_try_at > :wall THEN ' leased' ELSE ' due' END",
    "reconciliation_runs": "'settlement ' || state",
    "reconciliation_steps": "'step ' || step || ' ' || state ||"
    " CASE WHEN lease_until > :wall THEN ', leased' ELSE '' END",
    "settlement_rows": "'balance transaction (' || kind || ') ' || CASE WHEN posted_at IS NOT NULL"
    " THEN 'posted' WHEN matched_at IS NOT NULL THEN 'matched' ELSE coalesce(outcome, 'read') END",
    "payouts": "'payout ' || status",
    "fx_events": "'exchange'",
    "breaks": "'break ' || kind || CASE WHEN resolved_at IS NULL THEN ' open' ELSE ' resolved' END"
    " || CASE WHEN assigned_to IS NULL THEN '' ELSE ', assigned' END",
    "break_notes": "'note on a break'",
    "revenue_recognitions": "'revenue earned'",
    "ledger.entries": "'entry ' || kind",
    "plan_versions": "'plan version'",
    "plan_corrections": "'plan correction'",
    "addon_versions": "'add-on version'",
    "addon_corrections": "'add-on correction'",
    "coupons": "'coupon'",
    "redemptions": "'redemption'",
    "digest_zones": "'zone of a digest'",
    "subscription_changes": "'change ' || kind",
    "segments": "'segment'",
    "cycle_cuts": "'cycle cut'",
    "provider_fences": "'fence ' || state",
    "tasks": "'task ' || task || CASE WHEN last_error IS NULL THEN ' done' ELSE ' failed' END",
    "api_keys": "'API key' || CASE WHEN revoked_at IS NOT NULL THEN ' revoked' WHEN last_used_at"
    " IS NOT NULL THEN ' used' ELSE '' END",
    "console_sessions": "'session' || CASE WHEN ended_at IS NULL THEN '' ELSE ' ended' END",
    "invoice_discounts": "'discount of an invoice'",
    "tax_rates": "'tax rate'",
    "customer_tax_facts": "'tax facts'",
    "vat_checks": "'VAT check'",
    "vat_lookups": "'look-up of a VAT id' ||"
    " CASE WHEN held_until > :wall THEN ', held' ELSE '' END",
    "tax_decisions": "'tax decision'",
    "tax_calls": f"'call about taxes, ' || kind || ', ' || state || {_DUE} || {_HELD} ||"
    " CASE WHEN invoice_id IS NOT NULL AND kind = 'calculation' THEN ', used' ELSE '' END",
    "audit_log": "'audit line ' || action",
    "subscription_events": "'usage alert'",
    "usage_totals": "'usage of a period'",
    "usage_closings": "'usage closed'",
    "usage_counts": "'events ' || outcome",
    "usage_days": "'day sealed'",
}
# Told by other rows, or kept by tests.
UNTOLD: Final = frozenset(
    {
        "alembic_version", "customers", "engine", "test_clock", "invoice_lines", "line_parts",
        "credit_note_lines", "invoice_numbers", "invoice_series", "payment_transitions", "plans",
        "top_ups", "invoice_taxes", "credit_note_taxes",
        "addons",
        "usage_events", "usage_ids", "usage_keys", "usage_sealed",
        "ledger.accounts", "ledger.postings",
    }
)  # fmt: skip
# Of other kinds they are told by other rows.
_ONLY: Final[Mapping[str, str]] = {"subscription_events": "kind = 'usage_alert'"}
# Whatever else changes in these rows is told as if they were new.
_NOTICED: Final[Mapping[str, str]] = {
    "tasks": "concat(last_started_at, last_success_at, watermark)",
    "provider_fences": "concat(since, checked_database, known_until, state)",
    "payments": "concat(attempt_n, rung, next_attempt_kind, capture_amount, amount_captured)",
    "subscriptions": "concat(next_n, renews_at)",
    "provider_customers": "concat(payment_method_id)",
    "provider_calls": "concat(error_class)",
    "tax_calls": "concat(sends, error_class)",
    "vat_lookups": "concat(next_at, failures)",
    "usage_counts": "concat(events)",  # one row serves several processes
}
_KEYS: Final = text(
    "SELECT n.nspname AS schema, c.relname AS name, array_agg(a.attname::text) AS key"
    "  FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid"
    "  JOIN pg_namespace n ON n.oid = c.relnamespace"
    "  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)"
    " WHERE i.indisprimary AND n.nspname IN ('public', 'ledger') AND NOT c.relispartition"
    " GROUP BY 1, 2"
)

Rows = Mapping[tuple[str, str], tuple[str, str]]


@functools.cache
def _query(engine: Engine) -> TextClause:
    keys = tables(engine)
    return text(
        " UNION ALL ".join(
            f"SELECT '{table}' AS table_name, {keys[table]} AS id, {words} AS words,"
            f" {_NOTICED.get(table, chr(39) * 2)} AS noticed FROM {table}"
            f" WHERE {_ONLY.get(table, 'true')}"
            for table, words in WORDS.items()
        )
    )


def tables(engine: Engine) -> dict[str, str]:
    """Return every table, with the expression of its primary key."""
    with engine.connect() as conn:
        return {
            row.name if row.schema == "public" else f"{row.schema}.{row.name}": "concat_ws("
            f"'/', {', '.join(sorted(row.key))})"
            for row in conn.execute(_KEYS)
        }


def read(engine: Engine, *, now: datetime, wall: datetime) -> Rows:
    """Return the words of every row, and what else is noticed of it."""
    with engine.connect() as conn:
        found = conn.execute(_query(engine), {"now": now, "wall": wall})
        return {(row.table_name, row.id): (row.words, row.noticed) for row in found}


def told(before: Rows, after: Rows, without: Collection[str] = ()) -> str:
    """Return in words what is new or changed, in all tables but some."""
    tables = list(WORDS)
    new: Counter[tuple[int, str]] = Counter(
        (tables.index(key[0]), row[0])
        for key, row in after.items()
        if before.get(key) != row and key[0] not in without
    )
    return "; ".join(
        words if count == 1 else f"{count} x {words}" for (_, words), count in sorted(new.items())
    )


def made(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Return in words what was made at the provider between two counts of its objects."""
    new = {
        kind: count - before.get(kind, 0)
        for kind, count in sorted(after.items())
        if count > before.get(kind, 0) and kind in _OBJECTS
    }
    return ", ".join(f"{count} {_OBJECTS[kind][count > 1]}" for kind, count in new.items())


_OBJECTS: Final = {
    "charge": ("charge", "charges"),
    "customer": ("customer", "customers"),
    "payment_method": ("payment method", "payment methods"),
    "refund": ("refund", "refunds"),
    "dispute": ("dispute", "disputes"),
    "bt_transaction": ("transaction", "transactions"),
    "bt_customer": ("customer", "customers"),
    "bt_method": ("payment method", "payment methods"),
}
