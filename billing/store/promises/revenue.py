"""Promise 3 for revenue: recognised, deferred, given back and written off add up."""
# ruff: noqa: S608  statements are put together from constants of this file

from typing import Final

from billing.ledger.keys import EntryKind
from billing.rules.promises import FindingKind
from billing.store.in_list import in_list
from billing.store.promises.check import STANDS, check

_TAKEN_BACK: Final = in_list((EntryKind.WRITE_OFF, EntryKind.INVOICE_VOIDED))

_RECOGNITION_BOOKED = check(
    FindingKind.RECOGNITION_ENTRY,
    f"""
    SELECT coalesce(r.invoice, j.invoice) AS invoice, coalesce(i.number, '?') AS number,
           coalesce(r.through, j.through) AS through,
           coalesce(i.currency, j.currency) AS currency, coalesce(r.amount, 0) AS amount,
           coalesce(j.amount, 0) AS booked
      FROM (SELECT invoice_id::text AS invoice, amount,
                   to_char(through AT TIME ZONE 'UTC', 'YYYYMMDD"T"HH24MISS.US"Z"') AS through
              FROM revenue_recognitions) r
      FULL JOIN (
           SELECT split_part(e.source_key, ':', 2) AS invoice,
                  split_part(e.source_key, ':', 3) AS through, min(l.currency) AS currency,
                  sum(l.amount) FILTER (WHERE a.code = 'deferred_revenue') AS amount
             FROM ledger.entries e
             JOIN ledger.postings l ON l.entry_id = e.id
             JOIN ledger.accounts a ON a.id = l.account_id
            WHERE e.kind IN ('{EntryKind.REVENUE_RECOGNIZED}', '{EntryKind.RECOGNITION_TAKEN_BACK}')
            GROUP BY 1, 2) j
        ON j.invoice = r.invoice AND j.through = r.through
      LEFT JOIN invoices i ON i.id::text = coalesce(r.invoice, j.invoice)
     WHERE r.amount IS DISTINCT FROM j.amount OR j.currency IS DISTINCT FROM i.currency""",
    "invoice, through",
)

# What is left of each invoice: recognised + deferred + given back + written off = invoiced.
_LEFT = f"""
    SELECT i.id, i.number, i.status, i.currency, i.net, i.recognise_at,
           coalesce(r.amount, 0) AS recognised, coalesce(b.deferred, 0) AS given_back,
           coalesce(w.deferred, 0) AS given_up,
           i.net - coalesce(r.amount, 0) - coalesce(b.deferred, 0) - coalesce(w.deferred, 0)
             AS deferred
      FROM invoices i
      LEFT JOIN (SELECT invoice_id, sum(amount) AS amount
                   FROM revenue_recognitions GROUP BY invoice_id) r ON r.invoice_id = i.id
      LEFT JOIN (SELECT g.invoice_id, sum(g.deferred) AS deferred
                   FROM (SELECT p.invoice_id, f.deferred
                           FROM refunds f JOIN payments p ON p.id = f.payment_id
                          WHERE f.state NOT IN ('failed', 'canceled')
                          UNION ALL
                         SELECT p.invoice_id, d.lost_deferred
                           FROM disputes d JOIN payments p ON p.id = d.payment_id
                          WHERE d.state = 'lost'
                          UNION ALL
                         SELECT invoice_id, deferred FROM credit_notes) g
                  GROUP BY g.invoice_id) b
        ON b.invoice_id = i.id
      LEFT JOIN (SELECT split_part(e.source_key, ':', 2) AS invoice, sum(l.amount) AS deferred
                   FROM ledger.entries e
                   JOIN ledger.postings l ON l.entry_id = e.id
                   JOIN ledger.accounts a ON a.id = l.account_id AND a.code = 'deferred_revenue'
                  WHERE e.kind IN {_TAKEN_BACK} AND {STANDS}
                  GROUP BY 1) w ON w.invoice = i.id::text
     WHERE i.kind <> 'top_up'"""

_INVOICED_ADDS_UP = check(
    FindingKind.INVOICE_ADDS_UP,
    f"""
    SELECT * FROM ({_LEFT}) standing
     WHERE deferred < 0
        OR deferred > 0 AND (status IN ('void', 'uncollectible') OR recognise_at IS NULL)""",
    "number",
)

_DEFERRED_ADDS_UP = check(
    FindingKind.DEFERRED_ADDS_UP,
    f"""
    SELECT coalesce(o.currency, j.currency) AS currency, coalesce(o.deferred, 0) AS deferred,
           coalesce(j.deferred, 0) AS booked
      FROM (SELECT currency, sum(deferred) AS deferred FROM ({_LEFT}) standing GROUP BY currency) o
      FULL JOIN (SELECT a.currency, -sum(l.amount) AS deferred
                   FROM ledger.accounts a JOIN ledger.postings l ON l.account_id = a.id
                  WHERE a.code = 'deferred_revenue' GROUP BY a.currency) j
        ON j.currency = o.currency
     WHERE coalesce(o.deferred, 0) <> coalesce(j.deferred, 0)""",
    "currency",
)

EARNED: Final = (_RECOGNITION_BOOKED, _INVOICED_ADDS_UP, _DEFERRED_ADDS_UP)
