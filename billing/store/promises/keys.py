"""Promise 3 for source keys: an entry is posted once under the key of its event."""
# ruff: noqa: S608  statements are put together from constants of this file

from typing import Final

from billing.ledger.keys import EntryKind
from billing.rules.promises import FindingKind
from billing.store.in_list import in_list
from billing.store.promises.check import PAID_STATES, STANDS, check

_REVERSALS: Final = in_list(
    (
        EntryKind.CAPTURE_RETURNED,
        EntryKind.DISPUTE_LOST_REVERSED,
        EntryKind.INVOICE_VOIDED,
        EntryKind.ONE_OFF_RETURNED,
        EntryKind.PAYOUT_RETURNED,
        EntryKind.REFUND_FAILED,
        EntryKind.REFUND_RETURNED,
        EntryKind.WRITE_OFF_REVERSED,
    )
)

# A key begins with the kind. A reversal has the ids of what it reverses; a capture is that of an
# attempt, or of a charge at the provider; losses of a dispute are numbered.
_KEYS = check(
    FindingKind.ENTRY_KEY,
    f"""
    SELECT e.source_key, e.kind, o.source_key AS reverses
      FROM ledger.entries e LEFT JOIN ledger.entries o ON o.id = e.reverses_entry_id
     WHERE split_part(e.source_key, ':', 1) <> e.kind
        OR substr(e.source_key, strpos(e.source_key, ':'))
           <> substr(o.source_key, strpos(o.source_key, ':'))
        OR e.kind IN {_REVERSALS} AND o.id IS NULL
     UNION ALL
    SELECT e.source_key, e.kind, NULL
      FROM ledger.entries e
      JOIN disputes d ON d.id::text = split_part(e.source_key, ':', 2)
     WHERE e.kind = '{EntryKind.DISPUTE_LOST}'
       AND NOT EXISTS (SELECT FROM generate_series(1, d.times_lost) AS lost(n)
                        WHERE lost.n::text = split_part(e.source_key, ':', 3))
     UNION ALL
    SELECT e.source_key, e.kind, NULL
      FROM ledger.entries e
      JOIN payments p ON p.id::text = split_part(e.source_key, ':', 2)
     WHERE e.kind = '{EntryKind.PAYMENT_CAPTURED}'
       AND split_part(e.source_key, ':', 3) <> ALL (
             ARRAY[p.provider_charge_id, p.provider_payment_id]
             || ARRAY(SELECT a.n::text FROM attempts a WHERE a.payment_id = p.id))""",
    "source_key",
)

_ONE_OFF_BOOKED = check(
    FindingKind.ONE_OFF_ENTRY,
    f"""
    SELECT coalesce(p.id, j.payment) AS id, p.state, coalesce(p.currency, j.currency) AS currency,
           p.amount_captured, coalesce(j.amount, 0) AS booked
      FROM (SELECT id::text AS id, state, currency, amount_captured, customer_id
              FROM payments WHERE invoice_id IS NULL AND state IN {PAID_STATES}) p
      FULL JOIN (
           SELECT substr(e.source_key, length('{EntryKind.ONE_OFF_CHARGED.prefix}') + 1) AS payment,
                  sum(l.amount) AS amount, min(l.currency) AS currency,
                  min(a.owner_id::text) AS owner
             FROM ledger.entries e
             JOIN ledger.postings l ON l.entry_id = e.id
             JOIN ledger.accounts a ON a.id = l.account_id AND a.code = 'receivable'
            WHERE e.kind = '{EntryKind.ONE_OFF_CHARGED}' AND {STANDS}
            GROUP BY 1) j
        ON j.payment = p.id
     WHERE p.id IS NULL OR j.amount IS DISTINCT FROM p.amount_captured
        OR j.currency <> p.currency OR j.owner <> p.customer_id::text""",
    "id",
)

# An adjustment resolves a break, and the audit log says which were resolved with one.
_ADJUSTED = check(
    FindingKind.ADJUSTMENT_ENTRY,
    f"""
    SELECT coalesce(a.id, j.id) AS id,
           CASE WHEN b.id IS NULL THEN 'not there' WHEN b.resolved_at IS NULL THEN 'open'
                ELSE 'resolved' END AS standing, coalesce(j.entries, 0) AS entries
      FROM (SELECT substr(subject, length('break:') + 1) AS id FROM audit_log
             WHERE action = 'break.resolve' AND detail ->> 'adjustment' IS NOT NULL) a
      FULL JOIN (SELECT substr(source_key, length('{EntryKind.ADJUSTMENT.prefix}') + 1) AS id,
                        count(*) AS entries
                   FROM ledger.entries WHERE kind = '{EntryKind.ADJUSTMENT}' GROUP BY 1) j
        ON j.id = a.id
      LEFT JOIN breaks b ON b.id::text = coalesce(a.id, j.id)
     WHERE j.id IS NULL OR b.resolved_at IS NULL""",
    "id",
)

KEYED: Final = (_KEYS, _ONE_OFF_BOOKED, _ADJUSTED)
