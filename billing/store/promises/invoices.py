"""Promise 3 for invoices and captures: rows, lines and the journal agree."""
# ruff: noqa: S608  statements are put together from constants of this file

from typing import Final

from billing.ledger.keys import EntryKind
from billing.rules.promises import FindingKind
from billing.store.promises.check import PAID_STATES, STANDS, check

_CAPTURE_BOOKED = check(
    FindingKind.CAPTURE_ENTRY,
    f"""
    SELECT coalesce(p.id, j.payment) AS id, p.state, coalesce(p.currency, j.currency) AS currency,
           p.amount_captured, coalesce(j.entries, 0) AS entries, coalesce(j.amount, 0) AS booked
      FROM (SELECT id::text AS id, state, currency, amount_captured, provider
              FROM payments WHERE captured_at IS NOT NULL) p
      FULL JOIN (
           SELECT split_part(e.source_key, ':', 2) AS payment, count(DISTINCT e.id) AS entries,
                  sum(l.amount) AS amount, min(l.currency) AS currency,
                  min(a.provider) AS provider
             FROM ledger.entries e
             JOIN ledger.postings l ON l.entry_id = e.id
             JOIN ledger.accounts a ON a.id = l.account_id AND a.code = 'psp_clearing'
            WHERE e.kind = '{EntryKind.PAYMENT_CAPTURED}' AND {STANDS}
            GROUP BY 1) j
        ON j.payment = p.id
     WHERE p.id IS NULL OR j.entries IS DISTINCT FROM 1
        OR j.amount <> p.amount_captured OR j.currency <> p.currency OR j.provider <> p.provider""",
    "id",
)

_INVOICE_BOOKED = check(
    FindingKind.INVOICE_ENTRY,
    f"""
    SELECT coalesce(i.id, j.invoice) AS id, i.number, coalesce(i.currency, j.currency) AS currency,
           i.total, coalesce(j.entries, 0) AS entries, coalesce(j.receivable, 0) AS booked
      FROM (SELECT id::text AS id, number, currency, tax, total, customer_id, issued_at,
                   CASE kind WHEN 'top_up' THEN 0 ELSE net END AS net,
                   CASE kind WHEN 'top_up' THEN net ELSE 0 END AS ordered
              FROM invoices WHERE total > 0) i
      FULL JOIN (
           SELECT split_part(e.source_key, ':', 2) AS invoice, count(DISTINCT e.id) AS entries,
                  min(l.currency) AS currency,
                  sum(l.amount) FILTER (WHERE a.code = 'receivable') AS receivable,
                  -sum(l.amount) FILTER (WHERE a.code = 'deferred_revenue') AS net,
                  -sum(l.amount) FILTER (WHERE a.code = 'credit_ordered') AS ordered,
                  -sum(l.amount) FILTER (WHERE a.code = 'tax_payable') AS tax,
                  (array_agg(a.owner_id) FILTER (WHERE a.code = 'receivable'))[1] AS owner,
                  min(e.effective_at) AS issued_at
             FROM ledger.entries e
             JOIN ledger.postings l ON l.entry_id = e.id
             JOIN ledger.accounts a ON a.id = l.account_id
            WHERE e.kind = '{EntryKind.INVOICE_ISSUED}'
            GROUP BY 1) j
        ON j.invoice = i.id
     WHERE i.id IS NULL OR j.entries IS DISTINCT FROM 1 OR j.currency <> i.currency
        OR j.receivable IS DISTINCT FROM i.total OR coalesce(j.net, 0) <> i.net
        OR coalesce(j.tax, 0) <> i.tax OR coalesce(j.ordered, 0) <> i.ordered
        OR j.owner IS DISTINCT FROM i.customer_id
        OR j.issued_at <> i.issued_at""",
    "id",
)

_TAKEN_BACK = check(
    FindingKind.INVOICE_END_ENTRY,
    f"""
    SELECT i.number, i.status, coalesce(j.write_offs, 0) AS write_offs,
           coalesce(j.voids, 0) AS voids
      FROM invoices i
      LEFT JOIN (
           SELECT split_part(e.source_key, ':', 2) AS invoice,
                  count(*) FILTER (WHERE e.kind = '{EntryKind.WRITE_OFF}') AS write_offs,
                  count(*) FILTER (WHERE e.kind = '{EntryKind.INVOICE_VOIDED}') AS voids
             FROM ledger.entries e
            WHERE e.kind IN ('{EntryKind.WRITE_OFF}', '{EntryKind.INVOICE_VOIDED}') AND {STANDS}
            GROUP BY 1) j
        ON j.invoice = i.id::text
     WHERE i.total > 0
       AND ((i.status = 'uncollectible')::int <> coalesce(j.write_offs, 0)
            OR (i.status = 'void')::int <> coalesce(j.voids, 0))""",
    "number",
)

_INVOICE_AND_PAYMENT = check(
    FindingKind.INVOICE_AND_PAYMENT,
    f"""
    SELECT i.number, i.status, i.due, i.currency, p.state, p.amount, p.currency AS paid_in
      FROM invoices i LEFT JOIN payments p ON p.invoice_id = i.id
     WHERE (i.due > 0) <> (p.id IS NOT NULL)
        OR p.id IS NULL AND i.status NOT IN ('paid', 'void')
        OR p.id IS NOT NULL
           AND ((p.amount, p.currency, p.customer_id, p.subscription_id)
                IS DISTINCT FROM (i.due, i.currency, i.customer_id, i.subscription_id)
                OR NOT (p.state IN ('CREATED', 'AUTHORIZED') AND i.status = 'open'
                        OR p.state IN {PAID_STATES} AND i.status = 'paid'
                        OR p.state = 'FAILED' AND i.status IN ('void', 'uncollectible')))""",
    "number",
)

_LINES = check(
    FindingKind.INVOICE_LINES,
    """
    SELECT i.number, i.net, i.currency, coalesce(l.amount, 0) AS amount
      FROM invoices i
      LEFT JOIN (SELECT invoice_id, sum(amount) AS amount, sum(discount) AS discount,
                        sum(tax) AS tax
                   FROM invoice_lines GROUP BY invoice_id) l ON l.invoice_id = i.id
     WHERE i.net <> coalesce(l.amount, 0) OR i.discount <> coalesce(l.discount, 0)
        OR i.tax <> coalesce(l.tax, 0)""",
    "number",
)

_CYCLE_AND_INVOICE = check(
    FindingKind.CYCLE_AND_INVOICE,
    """
    SELECT c.subscription_id, c.n, c.kind, i.number
      FROM cycles c
      JOIN subscriptions s ON s.id = c.subscription_id
      LEFT JOIN invoices i ON i.cycle_id = c.id
     WHERE (c.kind = 'regular') <> (i.id IS NOT NULL)
        OR i.subscription_id <> c.subscription_id OR i.currency <> s.currency""",
    "subscription_id, n",
)

INVOICED_AND_CAPTURED: Final = (
    _CYCLE_AND_INVOICE,
    _LINES,
    _INVOICE_AND_PAYMENT,
    _INVOICE_BOOKED,
    _CAPTURE_BOOKED,
    _TAKEN_BACK,
)
