"""Promise 2: one capture a cycle."""
# ruff: noqa: S608  statements are put together from constants of this file

from collections.abc import Mapping, Sequence
from typing import Final

from billing.rules.payments import TRANSITIONS
from billing.rules.promises import FindingKind
from billing.store.promises.calls import CALLED_ONCE
from billing.store.promises.check import PAID_STATES, check

LEGAL_COLUMNS: Final[Mapping[str, Sequence[str]]] = {
    "legal_from": [str(a) for (a, _), causes in TRANSITIONS.items() for _cause in causes],
    "legal_to": [str(b) for (_, b), causes in TRANSITIONS.items() for _cause in causes],
    "legal_cause": [str(cause) for causes in TRANSITIONS.values() for cause in causes],
}

_CAPTURED_TWICE = check(
    FindingKind.CAPTURED_TWICE,
    """
    SELECT coalesce(i.cycle_id, i.id) AS id, count(*) AS payments
      FROM payments p JOIN invoices i ON i.id = p.invoice_id
     WHERE p.captured_at IS NOT NULL OR p.amount_captured > 0
     GROUP BY coalesce(i.cycle_id, i.id) HAVING count(*) > 1""",
    "id",
)

_CAPTURED_AMOUNT = check(
    FindingKind.CAPTURED_AMOUNT,
    f"""
    SELECT id, state, amount, amount_captured, currency, captured_at FROM payments
     WHERE NOT CASE WHEN state NOT IN {PAID_STATES} THEN amount_captured = 0
                    WHEN capture_method = 'manual' THEN amount_captured BETWEEN 1 AND amount
                    ELSE amount_captured = amount END
        OR (state IN {PAID_STATES}) <> (captured_at IS NOT NULL)
        OR confirmed_at IS NOT NULL AND captured_at IS NULL
        OR capture_method <> 'manual'
           AND (capture_amount IS NOT NULL OR authorized_until IS NOT NULL)""",
    "id",
)

_SHARED_AT_PROVIDER = check(
    FindingKind.SHARED_AT_PROVIDER,
    """
    SELECT 'payment' AS kind, provider_payment_id AS id, count(*) AS payments
      FROM payments WHERE provider_payment_id IS NOT NULL
     GROUP BY provider, provider_payment_id HAVING count(*) > 1
     UNION ALL
    SELECT 'charge', provider_charge_id, count(*)
      FROM payments WHERE provider_charge_id IS NOT NULL
     GROUP BY provider, provider_charge_id HAVING count(*) > 1""",
    "kind, id",
)

_HISTORY = check(
    FindingKind.HISTORY_BROKEN,
    """
    SELECT h.* FROM (
      SELECT t.id, t.payment_id, t.from_state, t.to_state, t.cause,
             coalesce(lag(t.to_state) OVER (PARTITION BY t.payment_id ORDER BY t.id),
                      'CREATED') AS stood_at
        FROM payment_transitions t) h
      LEFT JOIN unnest(CAST(:legal_from AS text[]), CAST(:legal_to AS text[]),
                       CAST(:legal_cause AS text[])) AS legal(from_state, to_state, cause)
        ON (legal.from_state, legal.to_state, legal.cause) = (h.from_state, h.to_state, h.cause)
     WHERE h.from_state <> h.stood_at OR legal.cause IS NULL""",
    "payment_id, id",
)

_STATE = check(
    FindingKind.STATE_NOT_IN_HISTORY,
    """
    SELECT p.id, p.state, coalesce(t.to_state, 'CREATED') AS ends_at
      FROM payments p
      LEFT JOIN (SELECT DISTINCT ON (payment_id) payment_id, to_state
                   FROM payment_transitions ORDER BY payment_id, id DESC) t
        ON t.payment_id = p.id
     WHERE p.state <> coalesce(t.to_state, 'CREATED')""",
    "id",
)

# The step that captured a payment has the provider's ids and the instant as its evidence. A forced
# correction may be about another payment of the provider's than the one that was known.
_CAPTURE = check(
    FindingKind.CAPTURE_NOT_IN_HISTORY,
    """
    SELECT p.id, p.provider_payment_id, p.captured_at, t.evidence ->> 'provider_payment' AS told,
           t.at
      FROM payments p
      JOIN (SELECT DISTINCT ON (payment_id) payment_id, at, cause, evidence, to_state
              FROM payment_transitions
             WHERE to_state IN ('CAPTURED', 'AUTHORIZED')
               AND from_state NOT IN ('REFUNDED', 'SETTLED')
             ORDER BY payment_id, id DESC) t
        ON t.payment_id = p.id
     WHERE (p.captured_at IS NOT NULL AND t.to_state = 'CAPTURED' OR p.state = 'AUTHORIZED')
       AND (p.captured_at <> t.at
            OR t.cause <> 'forced_correction'
               AND (t.evidence ->> 'provider_payment' <> coalesce(p.provider_payment_id, '')
                    OR t.evidence ->> 'provider_charge' <> coalesce(p.provider_charge_id, '')))""",
    "id",
)

_SETTLED = check(
    FindingKind.SETTLED_UNSEEN,
    """
    SELECT p.id, p.state, p.settled_at FROM payments p
     WHERE p.state = 'SETTLED' AND p.settled_at IS NULL
        OR p.settled_at IS NOT NULL
           AND NOT EXISTS (SELECT FROM payment_transitions t
                            WHERE t.payment_id = p.id AND t.to_state = 'SETTLED'
                              AND t.at = p.settled_at)
           AND NOT EXISTS (SELECT FROM settlement_rows r
                            WHERE r.payment_id = p.id AND r.kind = 'charge'
                              AND r.posted_at = p.settled_at)
           AND NOT EXISTS (SELECT FROM breaks b
                            WHERE b.payment_id = p.id AND b.resolved_at = p.settled_at)""",
    "id",
)

_ATTEMPTS = check(
    FindingKind.ATTEMPTS_MISCOUNTED,
    f"""
    SELECT * FROM (
      SELECT p.id, p.state, p.capture_method, p.attempt_n, coalesce(a.attempts, 0) AS attempts,
             coalesce(a.first, 1) AS first, coalesce(a.last, 0) AS last,
             coalesce(a.open, 0) AS open, a.last_open,
             coalesce(a.succeeded, 0)
             - (SELECT count(*) FROM payment_transitions t
                 WHERE t.payment_id = p.id AND t.cause = 'settlement_declined') AS succeeded,
             p.state IN {PAID_STATES} AS paid
        FROM payments p
        LEFT JOIN (SELECT payment_id, count(*) AS attempts, min(n) AS first, max(n) AS last,
                          count(*) FILTER (WHERE finished_at IS NULL) AS open,
                          max(n) FILTER (WHERE finished_at IS NULL) AS last_open,
                          count(*) FILTER (WHERE outcome = 'succeeded') AS succeeded
                     FROM attempts GROUP BY payment_id) a
          ON a.payment_id = p.id) counted
     WHERE attempts <> attempt_n OR first <> 1 OR last <> attempts
        OR open > 1 OR (open = 1 AND (last_open <> attempt_n OR paid OR state = 'FAILED'))
        OR succeeded NOT IN (0, 1)
        OR (succeeded = 1 AND NOT paid
            AND NOT (capture_method = 'manual' AND state IN ('AUTHORIZED', 'FAILED')))
        OR (succeeded = 0 AND paid AND NOT EXISTS (
              SELECT FROM payment_transitions t
               WHERE t.payment_id = counted.id AND t.cause = 'forced_correction'))""",
    "id",
)

# What was sent: the key ends in the attempt's number, and asks for what the payment collects.
_REQUESTS = check(
    FindingKind.REQUEST_DIFFERS,
    """
    SELECT p.id AS payment_id, a.n, a.idempotency_key, a.request, p.amount, p.currency
      FROM provider_calls a
      JOIN payments p ON p.id = a.subject_id
      LEFT JOIN attempts t ON t.payment_id = a.subject_id AND t.n = a.n
      LEFT JOIN payment_methods m ON m.id = t.payment_method_id
     WHERE a.kind = 'charge'
       AND (a.request ->> 'idempotency_key' IS DISTINCT FROM a.idempotency_key
            OR a.idempotency_key NOT LIKE '%\\:a' || a.n
            OR a.request ->> 'amount' IS DISTINCT FROM p.amount::text
            OR a.request ->> 'currency' IS DISTINCT FROM p.currency
            OR a.request ->> 'payment_method' <> m.provider_payment_method_id
            OR a.request ->> 'manual_capture'
               <> CASE p.capture_method WHEN 'manual' THEN 'true' ELSE 'false' END
            OR a.request -> 'metadata' ->> 'payment' IS DISTINCT FROM p.id::text)""",
    "payment_id, n",
)

CAPTURED_ONCE: Final = (
    _CAPTURED_TWICE,
    _CAPTURED_AMOUNT,
    _SHARED_AT_PROVIDER,
    _HISTORY,
    _STATE,
    _CAPTURE,
    _SETTLED,
    _ATTEMPTS,
    _REQUESTS,
    *CALLED_ONCE,
)
