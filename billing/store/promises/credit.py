"""Promise 8: credit, its moves and the journal."""
# ruff: noqa: S608  statements are put together from constants of this file

from typing import Final

from billing.rules.promises import FindingKind
from billing.store.promises.check import check

CREDIT_OF_INVOICE = check(
    FindingKind.CREDIT_OF_INVOICE,
    """
    SELECT i.number, i.status, i.credit, i.currency, coalesce(m.amount, 0) AS moved
      FROM invoices i
      LEFT JOIN (SELECT invoice_id, currency,
                        sum(CASE kind WHEN 'applied' THEN amount ELSE -amount END) AS amount
                   FROM credit_moves WHERE kind IN ('applied', 'returned')
                  GROUP BY invoice_id, currency) m ON m.invoice_id = i.id
     WHERE coalesce(m.amount, 0) <> CASE i.status WHEN 'void' THEN 0 ELSE i.credit END
        OR m.currency <> i.currency""",
    "number",
)

GRANT_MOVES = check(
    FindingKind.GRANT_MOVES,
    """
    SELECT g.id, g.currency, g.amount, count(m.n) AS moves, min(m.left_after) AS least
      FROM credit_grants g LEFT JOIN credit_moves m ON m.grant_id = g.id
     GROUP BY g.id
    HAVING count(m.n) <> coalesce(max(m.n), -1) + 1
        OR min(m.amount) FILTER (WHERE m.n = 0) IS DISTINCT FROM g.amount
        OR min(m.at) FILTER (WHERE m.n = 0) <> g.created_at
        OR bool_or(m.invoice_id IS NOT NULL AND m.kind NOT IN ('applied', 'returned'))
        OR (g.source = 'goodwill' AND g.invoice_id IS NOT NULL)
        OR (g.source IN ('small', 'credit_note', 'bought') AND g.invoice_id IS NULL)
        OR bool_or(num_nonnulls(m.refund_id, m.dispute_id)
                   <> CASE WHEN m.kind IN ('refunded', 'restored') THEN 1 ELSE 0 END)""",
    "id",
)

CREDIT_BALANCE = check(
    FindingKind.CREDIT_BALANCE,
    """
    SELECT coalesce(c.customer_id, j.customer_id) AS customer_id,
           coalesce(c.currency, j.currency) AS currency,
           coalesce(c.amount, 0) AS left, coalesce(j.amount, 0) AS booked
      FROM (SELECT customer_id, currency,
                   sum(CASE WHEN kind IN ('granted', 'returned', 'restored')
                            THEN amount ELSE -amount END)
                     AS amount
              FROM credit_moves GROUP BY customer_id, currency) c
      FULL JOIN (SELECT a.owner_id AS customer_id, a.currency, -sum(p.amount) AS amount
                   FROM ledger.accounts a JOIN ledger.postings p ON p.account_id = a.id
                  WHERE a.code = 'customer_credit' GROUP BY a.owner_id, a.currency) j
        ON j.customer_id = c.customer_id AND j.currency = c.currency
     WHERE coalesce(c.amount, 0) <> coalesce(j.amount, 0)""",
    "customer_id, currency",
)

CREDIT_ENTRY = check(
    FindingKind.CREDIT_ENTRY,
    """
    SELECT coalesce(m.key, j.key) AS source_key, coalesce(m.currency, j.currency) AS currency,
           coalesce(m.amount, 0) AS amount, coalesce(j.amount, 0) AS booked
      FROM (SELECT concat_ws(':', 'credit_' || kind,
                             CASE WHEN kind IN ('applied', 'returned') THEN invoice_id END,
                             grant_id,
                             CASE WHEN kind NOT IN ('applied', 'returned') THEN n END) AS key,
                   currency, customer_id, at,
                   CASE WHEN kind IN ('returned', 'restored') THEN -amount ELSE amount END
                     AS amount
              FROM credit_moves WHERE kind <> 'granted'
             UNION ALL
            SELECT 'credit_granted:' || id, currency, customer_id, created_at, -amount
              FROM credit_grants WHERE source IN ('goodwill', 'small')
             UNION ALL
            SELECT 'credit_bought:' || id, currency, customer_id, created_at, -amount
              FROM credit_grants WHERE source = 'bought'
             UNION ALL
            SELECT CASE c.destination WHEN 'credit' THEN 'credit_note:'
                        ELSE 'credit_note_credited:' END || c.id,
                   g.currency, g.customer_id, g.created_at, -g.amount
              FROM credit_grants g JOIN credit_notes c ON c.id = g.note_id) m
      FULL JOIN (
           SELECT e.source_key AS key, p.currency, a.owner_id, p.amount, e.effective_at
             FROM ledger.entries e
             JOIN ledger.postings p ON p.entry_id = e.id
             JOIN ledger.accounts a ON a.id = p.account_id AND a.code = 'customer_credit'
            WHERE e.kind IN ('credit_applied', 'credit_returned', 'credit_expired',
                             'credit_granted', 'credit_note', 'credit_note_credited',
                             'credit_bought', 'credit_refunded', 'credit_restored')) j
        ON j.key = m.key
     WHERE m.amount IS DISTINCT FROM j.amount OR m.currency <> j.currency
        OR m.customer_id <> j.owner_id OR m.at <> j.effective_at""",
    "source_key",
)

# What expired is revenue where it was paid for, and else was never a cost.
CREDIT_EXPIRED_TO = check(
    FindingKind.CREDIT_EXPIRED_TO,
    """
    SELECT e.source_key, g.source, a.code AS account
      FROM credit_moves m
      JOIN credit_grants g ON g.id = m.grant_id
      JOIN ledger.entries e ON e.source_key = concat_ws(':', 'credit_expired', m.grant_id, m.n)
      JOIN ledger.postings p ON p.entry_id = e.id
      JOIN ledger.accounts a ON a.id = p.account_id AND a.code <> 'customer_credit'
     WHERE m.kind = 'expired'
       AND a.code <> CASE WHEN g.source IN ('bought', 'credit_note')
                          THEN 'credit_breakage' ELSE 'credit_grants' END""",
    "source_key",
)

# Also for what a revocation ended before its day.
CREDIT_OUT_OF_PLACE = check(
    FindingKind.CREDIT_OUT_OF_PLACE,
    """
    SELECT i.number, m.grant_id, m.amount, m.currency, m.at
      FROM credit_moves m
      JOIN credit_grants g ON g.id = m.grant_id
      JOIN invoices i ON i.id = m.invoice_id
     WHERE m.kind = 'applied'
       AND (m.customer_id <> i.customer_id
            OR (g.subscription_id IS NOT NULL
                AND g.subscription_id IS DISTINCT FROM i.subscription_id)
            OR m.at < g.effective_at OR m.at >= g.expires_at
            OR EXISTS (SELECT FROM credit_moves x
                        WHERE x.grant_id = m.grant_id AND x.n < m.n AND x.kind = 'expired'))""",
    "number",
)

# A grant ends at its expiry, or where it was revoked. What is left of it is written off at that
# instant, or when an invoice gave credit back after it; who has nothing left was looked at, or will
# be at the expiry.
_ENDS = """
    SELECT g.id, g.currency, g.expires_at, g.expiry_due_at, m.left_after AS left,
           CASE WHEN x.ends IS NOT NULL THEN greatest(x.ends, x.returned) END AS due_at
      FROM credit_grants g
     CROSS JOIN LATERAL (SELECT left_after FROM credit_moves
                          WHERE grant_id = g.id ORDER BY n DESC LIMIT 1) m
     CROSS JOIN LATERAL (
           SELECT least(g.expires_at, min(at) FILTER (WHERE kind = 'expired')) AS ends,
                  max(at) FILTER (WHERE kind IN ('returned', 'restored')) AS returned
             FROM credit_moves WHERE grant_id = g.id) x
     WHERE x.ends IS NOT NULL OR g.expiry_due_at IS NOT NULL"""

CREDIT_EXPIRY_DUE = check(
    FindingKind.CREDIT_EXPIRY_DUE,
    f"""
    SELECT * FROM ({_ENDS}) e
     WHERE CASE WHEN e.due_at IS NULL THEN true
                WHEN e.left > 0 THEN e.expiry_due_at IS DISTINCT FROM e.due_at
                ELSE e.expiry_due_at <> e.expires_at END""",
    "id",
)
CREDIT_NOT_EXPIRED = check(
    FindingKind.CREDIT_NOT_EXPIRED,
    f"SELECT * FROM ({_ENDS}) e WHERE e.left > 0 AND e.expiry_due_at < :unreconciled",
    "id",
)

# Bought credit is there once, when its invoice is paid, and as it was ordered.
_GRANTED = check(
    FindingKind.TOP_UP_GRANTED,
    """
    SELECT coalesce(i.number, g.id::text) AS number, i.status, i.total,
           coalesce(i.currency, g.currency) AS currency, coalesce(g.amount, 0) AS granted
      FROM (SELECT * FROM invoices WHERE kind = 'top_up') i
      FULL JOIN (SELECT * FROM credit_grants WHERE source = 'bought') g ON g.invoice_id = i.id
      FULL JOIN top_ups t ON t.invoice_id = i.id
     WHERE i.id IS NULL OR t.invoice_id IS NULL
        OR (i.status = 'paid') <> (g.id IS NOT NULL)
        OR (g.amount, g.currency, g.customer_id, g.created_at)
           <> (i.total, i.currency, i.customer_id, i.resolved_at)
        OR (t.customer_id, t.created_at) <> (i.customer_id, i.issued_at)
        OR g.priority <> t.priority OR g.subscription_id IS NOT NULL
        OR g.id IS NOT NULL
           AND g.expires_at IS DISTINCT FROM
               g.effective_at + make_interval(hours => 24 * t.valid_days)""",
    "number",
)

# What a refund takes of a grant is all of it, unless somebody made the refund at the provider, or
# nothing where it failed; what a bank takes is at most what it took.
_WENT_BACK = check(
    FindingKind.TOP_UP_WENT_BACK,
    """
    SELECT i.number, w.kind, w.id, i.currency, w.amount, coalesce(m.taken, 0) AS taken
      FROM invoices i
      JOIN payments p ON p.invoice_id = i.id
      JOIN (SELECT 'refund' AS kind, id, payment_id,
                   CASE WHEN state IN ('failed', 'canceled') THEN 0 ELSE amount END AS amount,
                   requested_by <> 'provider' AS whole
              FROM refunds
             UNION ALL
            SELECT 'dispute', id, payment_id, lost_recognised + lost_deferred + lost_tax, false
              FROM disputes) w ON w.payment_id = p.id
      LEFT JOIN (SELECT coalesce(refund_id, dispute_id) AS id,
                        sum(CASE kind WHEN 'refunded' THEN amount ELSE -amount END) AS taken
                   FROM credit_moves WHERE kind IN ('refunded', 'restored') GROUP BY 1) m
        ON m.id = w.id
     WHERE i.kind = 'top_up'
       AND (coalesce(m.taken, 0) NOT BETWEEN 0 AND w.amount
            OR w.whole AND coalesce(m.taken, 0) <> w.amount)
     UNION ALL
    SELECT g.id::text, m.kind, m.grant_id, m.currency, m.amount, m.amount
      FROM credit_moves m
      JOIN credit_grants g ON g.id = m.grant_id
      LEFT JOIN refunds r ON r.id = m.refund_id
      LEFT JOIN disputes d ON d.id = m.dispute_id
      LEFT JOIN payments p ON p.id = coalesce(r.payment_id, d.payment_id)
     WHERE m.kind IN ('refunded', 'restored') AND p.invoice_id IS DISTINCT FROM g.invoice_id""",
    "number, id",
)

CREDIT_ADDS_UP: Final = (
    CREDIT_OF_INVOICE,
    GRANT_MOVES,
    CREDIT_BALANCE,
    CREDIT_ENTRY,
    CREDIT_EXPIRED_TO,
    CREDIT_OUT_OF_PLACE,
    CREDIT_EXPIRY_DUE,
    _GRANTED,
    _WENT_BACK,
)
OVERDUE: Final = (CREDIT_NOT_EXPIRED,)
