"""Checking the calls to the provider: the outcome of each fits the state of its subject.

Part of promise 2 (`one_capture`): a call that is left open could be sent twice.
"""

from typing import Final

from billing.rules.promises import FindingKind
from billing.store.promises.check import check

_NUMBERED = check(
    FindingKind.CALLS_MISCOUNTED,
    """
    SELECT kind, subject_id, count(*) AS calls, max(n) AS last,
           count(*) FILTER (WHERE finished_at IS NULL) AS open
      FROM provider_calls GROUP BY kind, subject_id
    HAVING count(*) <> max(n)
        OR count(*) FILTER (WHERE finished_at IS NULL) > 1""",
    "subject_id, kind",
)

# A payment that is decided has no open call, and its state and amount are those of the call that
# succeeded. What a payment left at an account may still be canceled after it was given up.
_PAYMENTS = check(
    FindingKind.CALL_CONTRADICTS_PAYMENT,
    """
    SELECT c.idempotency_key, c.kind, c.outcome, p.id, p.state
      FROM provider_calls c LEFT JOIN payments p ON p.id = c.subject_id
     WHERE c.kind IN ('charge', 'capture', 'void', 'cancel')
       AND (p.id IS NULL
            OR c.request ->> 'currency' IS DISTINCT FROM p.currency
            OR c.finished_at IS NULL
               AND CASE c.kind WHEN 'charge' THEN p.state <> 'CREATED'
                               WHEN 'cancel' THEN p.state NOT IN ('CREATED', 'FAILED')
                               ELSE p.state <> 'AUTHORIZED' END
            OR c.outcome = 'succeeded'
               AND NOT EXISTS (SELECT FROM payment_transitions t
                                WHERE t.payment_id = p.id AND t.cause = 'forced_correction')
               AND CASE c.kind
                   WHEN 'void' THEN p.state <> 'FAILED'
                   WHEN 'cancel' THEN c.request ->> 'provider_payment_id' = p.provider_payment_id
                                      AND c.provider = p.provider
                   WHEN 'capture' THEN c.request ->> 'amount'
                                       IS DISTINCT FROM p.amount_captured::text
                   ELSE p.captured_at IS NULL AND c.finished_at > coalesce(
                          (SELECT max(t.at) FROM payment_transitions t
                            WHERE t.payment_id = p.id AND t.cause = 'settlement_declined'),
                          '-infinity')
                        AND NOT (p.capture_method = 'manual' AND p.state <> 'CREATED') END)""",
    "idempotency_key",
)

# An attempt and its call are begun together and end together.
_ATTEMPTS = check(
    FindingKind.CALL_CONTRADICTS_ATTEMPT,
    """
    SELECT coalesce(a.payment_id, c.subject_id) AS payment_id, coalesce(a.n, c.n) AS n,
           CASE WHEN a.n IS NULL THEN 'is missing' ELSE 'is ' || coalesce(a.outcome, 'open') END
             AS attempt,
           CASE WHEN c.n IS NULL THEN 'is missing' ELSE 'is ' || coalesce(c.outcome, 'open') END
             AS call
      FROM attempts a
      FULL JOIN (SELECT * FROM provider_calls WHERE kind = 'charge') c
        ON c.subject_id = a.payment_id AND c.n = a.n
     WHERE a.n IS NULL OR c.n IS NULL
        OR (a.outcome, a.finished_at) IS DISTINCT FROM (c.outcome, c.finished_at)""",
    "payment_id, n",
)

# A refund that the provider has, or that is decided, has no open call; what was asked for is what
# the refund gives back, and a refusal leaves it failed.
_REFUNDS = check(
    FindingKind.CALL_CONTRADICTS_REFUND,
    """
    SELECT c.subject_id, c.idempotency_key, c.outcome, r.state
      FROM provider_calls c LEFT JOIN refunds r ON r.id = c.subject_id
     WHERE c.kind = 'refund'
       AND (r.id IS NULL
            OR (c.request ->> 'amount', c.request ->> 'currency')
               IS DISTINCT FROM (r.amount::text, r.currency)
            OR c.finished_at IS NULL
               AND (r.state <> 'requested' OR r.provider_refund_id IS NOT NULL)
            OR c.outcome = 'succeeded' AND r.provider_refund_id IS NULL
            OR c.outcome = 'rejected' AND r.state <> 'failed')""",
    "idempotency_key",
)

# Who is at the provider has no open call, and what was made there is known here.
_CUSTOMERS = check(
    FindingKind.CALL_CONTRADICTS_CUSTOMER,
    """
    SELECT c.customer_id, c.kind, c.idempotency_key, c.outcome
      FROM provider_calls c
      LEFT JOIN provider_customers u
             ON u.customer_id = c.customer_id AND u.provider = c.provider
     WHERE c.kind IN ('customer', 'payment_method')
       AND (u.id IS NULL
            OR c.kind = 'customer'
               AND (c.subject_id <> u.id
                    OR c.finished_at IS NULL AND u.provider_customer_id IS NOT NULL)
            OR c.outcome = 'succeeded'
               AND CASE c.kind
                   WHEN 'customer' THEN u.provider_customer_id IS NULL
                   ELSE NOT EXISTS (SELECT FROM payment_methods m
                                     WHERE m.customer_id = u.customer_id
                                       AND m.provider = u.provider) END)
    """,
    "idempotency_key",
)

CALLED_ONCE: Final = (_NUMBERED, _PAYMENTS, _ATTEMPTS, _REFUNDS, _CUSTOMERS)
