"""Runs the checks of a promise and counts the rows checked."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, text

from billing.rules.promises import Finding
from billing.store.findings import with_rows
from billing.store.promises.check import Check
from billing.store.promises.one_capture import LEGAL_COLUMNS


def findings(
    conn: Connection, checks: Sequence[Check], params: Mapping[str, Any] | None = None
) -> list[Finding]:
    """Run the checks and return their findings, in their order."""
    given = {**LEGAL_COLUMNS, **(params or {})}
    return [
        finding for check in with_rows(conn, checks, given) for finding in check.run(conn, given)
    ]


_COUNTS = {
    1: """
       SELECT (SELECT count(*) FROM subscriptions) AS subscriptions,
              (SELECT count(*) FROM subscriptions WHERE parked_at IS NOT NULL)
                AS subscriptions_parked,
              (SELECT count(*) FROM cycles) AS cycles""",
    2: """
       SELECT count(*) AS payments,
              count(*) FILTER (WHERE captured_at IS NOT NULL) AS payments_captured,
              (SELECT count(*) FROM payment_transitions) AS transitions,
              (SELECT count(*) FROM attempts) AS attempts
         FROM payments""",
    3: """
       SELECT (SELECT count(*) FROM ledger.entries) AS entries,
              (SELECT count(*) FROM ledger.postings) AS postings,
              (SELECT count(*) FROM invoices) AS invoices,
              (SELECT count(DISTINCT currency) FROM ledger.accounts) AS currencies""",
    4: """
       SELECT (SELECT count(*) FROM cycles WHERE state = 'closed') AS cycles_closed,
              (SELECT count(*) FROM cycles WHERE state = 'opened') AS cycles_open,
              (SELECT count(*) FROM breaks WHERE resolved_at IS NULL) AS breaks_open,
              (SELECT count(*) FROM breaks WHERE resolved_at IS NOT NULL) AS breaks_resolved""",
    5: """
       SELECT (SELECT count(*) FROM payments WHERE state IN ('CREATED', 'AUTHORIZED'))
                AS payments_undecided,
              (SELECT count(*) FROM payments WHERE parked_at IS NOT NULL) AS payments_parked,
              (SELECT count(*) FROM subscriptions WHERE parked_at IS NOT NULL)
                AS subscriptions_parked,
              (SELECT count(*) FROM provider_calls
                WHERE kind = 'charge' AND finished_at IS NULL) AS attempts_open,
              (SELECT count(*) FROM provider_calls
                WHERE kind = 'charge' AND finished_at IS NULL
                  AND unknown_since IS NOT NULL) AS attempts_unknown""",
    7: """
       SELECT count(*) FILTER (WHERE facts IS NOT NULL) AS invoices_with_facts,
              count(*) FILTER (WHERE facts IS NULL) AS invoices_without_facts,
              (SELECT count(*) FROM invoice_lines) AS lines
         FROM invoices""",
    8: """
       SELECT (SELECT count(*) FROM credit_grants) AS credit_grants,
              (SELECT count(*) FROM credit_moves) AS credit_moves""",
    9: """
       SELECT (SELECT count(*) FROM credit_notes) AS credit_notes,
              (SELECT count(*) FROM credit_note_lines) AS credit_note_lines""",
    10: """
       SELECT count(*) AS usage_totals, coalesce(sum(events), 0) AS usage_events,
              (SELECT count(*) FROM usage_days) AS usage_days_sealed
         FROM usage_totals""",
}


def counts(conn: Connection, promise: int) -> dict[str, int]:
    """Return how many rows a promise covers."""
    row = conn.execute(text(_COUNTS[promise])).one()
    return {name: int(value) for name, value in row._mapping.items()}
