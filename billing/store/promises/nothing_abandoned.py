"""Promise 5: nothing is abandoned silently."""
# ruff: noqa: S608  statements are put together from constants of this file

from typing import Final

from billing.ledger.keys import EntryKind
from billing.rules.promises import FindingKind
from billing.rules.reconciliation import PayoutStatus, RowOutcome
from billing.store.in_list import in_list
from billing.store.promises.check import check
from billing.store.source_keys import key_sql, within_sql

_NOTHING_FOLLOWS = check(
    FindingKind.NOTHING_FOLLOWS,
    """
    SELECT id, state, decision, decision_facts FROM payments
     WHERE state IN ('CREATED', 'AUTHORIZED') AND next_attempt_at IS NULL AND parked_at IS NULL""",
    "id",
)

_NEVER_RENEWS = check(
    FindingKind.NEVER_RENEWS,
    """
    SELECT id, status FROM subscriptions
     WHERE renews_at IS NULL AND status NOT IN ('canceled', 'unpaid')""",
    "id",
)

# Whatever was sent and has no outcome is asked for again: its subject is due, or a person looks.
_NOT_DUE = check(
    FindingKind.CALL_NOT_DUE,
    """
    SELECT c.idempotency_key, c.kind, coalesce(p.state, r.state) AS state
      FROM provider_calls c
      LEFT JOIN payments p ON p.id = c.subject_id AND c.kind IN ('charge', 'capture', 'void')
      LEFT JOIN refunds r ON r.id = c.subject_id AND c.kind = 'refund'
     WHERE c.finished_at IS NULL
       AND CASE
           WHEN c.kind IN ('charge', 'capture', 'void')
             THEN p.next_attempt_at IS NULL AND p.parked_at IS NULL
           WHEN c.kind = 'refund' THEN r.next_attempt_at IS NULL
           ELSE false END""",
    "idempotency_key",
)

# A row that differs has the kind of its break as its outcome, until the break is resolved.
_ROW_WITHOUT_BREAK = check(
    FindingKind.ROW_WITHOUT_BREAK,
    f"""
    SELECT {within_sql("r.provider", "r.provider_transaction_id")} AS id, r.kind, r.outcome
      FROM settlement_rows r
     WHERE r.outcome NOT IN {in_list(list(RowOutcome))}
       AND NOT EXISTS (SELECT FROM breaks b
                        WHERE b.provider = r.provider AND b.kind = r.outcome
                          AND b.provider_transaction_id = r.provider_transaction_id)""",
    "id",
)

NOTHING_ABANDONED: Final = (_NOTHING_FOLLOWS, _NEVER_RENEWS, _NOT_DUE, _ROW_WITHOUT_BREAK)

_ATTEMPT_OVERDUE = check(
    FindingKind.ATTEMPT_OVERDUE,
    """
    SELECT p.id, p.next_attempt_at, p.next_attempt_kind, a.n AS open_attempt,
           a.error_class || ': ' || a.error_message AS last_error
      FROM payments p
      LEFT JOIN provider_calls a
             ON a.subject_id = p.id AND a.kind = 'charge' AND a.finished_at IS NULL
     WHERE p.next_attempt_at IS NOT NULL AND p.parked_at IS NULL
       AND p.next_attempt_at <= :overdue AND a.unknown_since IS NULL""",
    "next_attempt_at, id",
)

_UNCONFIRMED = check(
    FindingKind.UNCONFIRMED,
    """
    SELECT id, captured_at, provider_payment_id FROM payments p
     WHERE captured_at IS NOT NULL AND confirmed_at IS NULL AND captured_at <= :unreconciled
       AND NOT EXISTS (SELECT FROM breaks b WHERE b.payment_id = p.id AND b.resolved_at IS NULL)""",
    "captured_at, id",
)

# Every night's run books the arrival of a payout that had left.
_PAYOUT_UNBOOKED = check(
    FindingKind.PAYOUT_UNBOOKED,
    f"""
    SELECT {within_sql("o.provider", "o.provider_payout_id")} AS id, o.amount, o.currency,
           o.updated_at
      FROM payouts o
      JOIN ledger.entries sent
        ON sent.source_key = {key_sql(EntryKind.PAYOUT_SENT, "o.provider", "o.provider_payout_id")}
     WHERE o.status = '{PayoutStatus.PAID}'
       AND o.updated_at <= CAST(:unreconciled AS timestamptz) - interval '1 day'
       AND NOT EXISTS (SELECT FROM ledger.entries f WHERE f.reverses_entry_id = sent.id)
       AND NOT EXISTS (SELECT FROM ledger.entries e WHERE e.source_key =
             {key_sql(EntryKind.PAYOUT_ARRIVED, "o.provider", "o.provider_payout_id")})""",
    "id",
)

OVERDUE: Final = (_ATTEMPT_OVERDUE, _UNCONFIRMED, _PAYOUT_UNBOOKED)
