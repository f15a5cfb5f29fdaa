"""Promise 7 for usage: closings against totals and subscriptions."""

from typing import Final

from billing.rules.promises import FindingKind
from billing.store.promises.check import check

# Events are only added to a total; a closing of all of them has the fingerprint of all of them.
_AGAINST_TOTAL = check(
    FindingKind.CLOSING_AGAINST_TOTAL,
    """
    SELECT c.subscription_id, c.meter, c.n, c.segment, c.revision, c.events,
           coalesce(t.events, 0) AS counted
      FROM usage_closings c
      LEFT JOIN usage_totals t USING (subscription_id, meter, n, segment)
      LEFT JOIN usage_closings b ON (b.subscription_id, b.meter, b.n, b.segment, b.revision)
                                    = (c.subscription_id, c.meter, c.n, c.segment, c.follows)
     WHERE c.events > coalesce(t.events, 0) OR c.events < b.events
        OR c.events = coalesce(t.events, 0) AND c.id_sum <> coalesce(t.id_sum, 0)""",
    "subscription_id, meter, n, segment, revision",
)

# From one period on nothing was billed; before it everything that was counted is closed.
_PASSED_OVER = check(
    FindingKind.USAGE_PASSED_OVER,
    """
    SELECT t.subscription_id, t.meter, t.n, t.segment, t.events
      FROM usage_totals t JOIN subscriptions s ON s.id = t.subscription_id
     WHERE t.n < coalesce(s.usage_from_n, s.next_n)
       AND NOT EXISTS (SELECT FROM usage_closings c
                        WHERE (c.subscription_id, c.meter, c.n, c.segment)
                              = (t.subscription_id, t.meter, t.n, t.segment))""",
    "subscription_id, meter, n, segment",
)
_CLOSED_AHEAD = check(
    FindingKind.USAGE_CLOSED_AHEAD,
    """
    SELECT c.subscription_id, c.meter, c.n, c.segment, s.usage_from_n
      FROM usage_closings c JOIN subscriptions s ON s.id = c.subscription_id
     WHERE c.revision = 1 AND c.n >= coalesce(s.usage_from_n, 0)
       AND (s.canceled_at IS NULL OR c.n < s.next_n)""",
    "subscription_id, meter, n, segment",
)

# After the last look at a subscription that ended, all that was counted is closed, unless an
# operator forgave it: also in the periods without a cycle before its end.
_LEFT_UNBILLED = check(
    FindingKind.USAGE_LEFT_UNBILLED,
    """
    SELECT t.subscription_id, t.meter, t.n, t.segment, t.events, coalesce(c.events, 0) AS closed
      FROM usage_totals t JOIN subscriptions s ON s.id = t.subscription_id
      LEFT JOIN LATERAL (
           SELECT u.events FROM usage_closings u
            WHERE (u.subscription_id, u.meter, u.n, u.segment)
                  = (t.subscription_id, t.meter, t.n, t.segment)
            ORDER BY u.revision DESC LIMIT 1) c ON true
     WHERE s.canceled_at IS NOT NULL AND s.usage_due_at IS NULL
       AND c.events IS DISTINCT FROM t.events
       AND (c.events IS NOT NULL OR t.n >= coalesce(s.usage_from_n, 0))
       AND NOT EXISTS (SELECT FROM subscription_events e
                        WHERE e.subscription_id = s.id AND e.kind = 'canceled'
                          AND CAST(e.detail ->> 'forgiven' AS boolean))""",
    "subscription_id, meter, n, segment",
)

# What an invoice's facts don't name is billed by none; a note gives it back where it got cheaper.
_WITHOUT_CAUSE = check(
    FindingKind.CLOSING_OF_INVOICE,
    """
    SELECT c.subscription_id, c.meter, c.n, c.segment, c.revision, i.number
      FROM usage_closings c JOIN invoices i ON i.id = c.invoice_id
     WHERE i.subscription_id IS DISTINCT FROM c.subscription_id
        OR c.at <> i.issued_at
           AND (c.revision = 1
                OR NOT EXISTS (SELECT FROM credit_notes n
                                WHERE n.invoice_id = i.id AND n.created_at = c.at))""",
    "subscription_id, meter, n, segment, revision",
)

METERED: Final = (_AGAINST_TOTAL, _PASSED_OVER, _CLOSED_AHEAD, _LEFT_UNBILLED, _WITHOUT_CAUSE)
