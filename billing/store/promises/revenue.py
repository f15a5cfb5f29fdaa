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
      FROM (SELECT invoice_id::text AS invoice, sum(amount) AS amount,
                   to_char(through AT TIME ZONE 'UTC', 'YYYYMMDD"T"HH24MISS.US"Z"') AS through
              FROM revenue_recognitions GROUP BY invoice_id, through) r
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

# What is left of each line: recognised + deferred + given back + written off = invoiced. Of what
# was recognised, and of the tax, no more went back than there is.
_LEFT = """
    SELECT i.id, i.number, i.status, i.currency, i.recognise_at, l.line, l.amount AS net,
           coalesce(r.amount, 0) AS recognised, coalesce(b.given_back, 0) AS given_back,
           CASE i.status WHEN 'void' THEN l.amount ELSE coalesce(b.given_up, 0) END AS given_up,
           l.amount - coalesce(r.amount, 0) - coalesce(b.given_back, 0)
             - CASE i.status WHEN 'void' THEN l.amount ELSE coalesce(b.given_up, 0) END
             AS deferred,
           coalesce(r.amount, 0) - coalesce(b.recognised, 0) AS earned,
           l.tax - coalesce(b.tax, 0) AS tax
      FROM invoices i
      JOIN invoice_lines l ON l.invoice_id = i.id
      LEFT JOIN (SELECT invoice_id, line, sum(amount) AS amount
                   FROM revenue_recognitions GROUP BY invoice_id, line) r
        ON r.invoice_id = l.invoice_id AND r.line = l.line
      LEFT JOIN (SELECT invoice_id, line, sum(recognised) AS recognised, sum(tax) AS tax,
                        sum(deferred) FILTER (WHERE kind <> 'write_off') AS given_back,
                        sum(deferred) FILTER (WHERE kind = 'write_off') AS given_up
                   FROM standing_line_parts GROUP BY invoice_id, line) b
        ON b.invoice_id = l.invoice_id AND b.line = l.line
     WHERE i.kind <> 'top_up'"""

_INVOICED_ADDS_UP = check(
    FindingKind.INVOICE_ADDS_UP,
    f"""
    SELECT * FROM ({_LEFT}) standing
     WHERE deferred < 0 OR earned < 0 OR tax < 0
        OR deferred > 0 AND (status IN ('void', 'uncollectible') OR recognise_at IS NULL)""",
    "number, line",
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

# What goes back has its parts by line. What a cardholder's bank took beyond what was left is of no
# line, and has its break. An entry that was reversed keeps its rows.
# A note takes of its own lines. Where something else took of the invoice, too, it may reach for
# what is left of others.
_PARTS_BY_LINE = check(
    FindingKind.LINE_PARTS,
    f"""
    SELECT coalesce(s.kind, x.kind) AS kind, coalesce(s.id, x.id) AS id, s.currency,
           coalesce(s.recognised + s.deferred + s.tax, 0) AS amount,
           coalesce(x.recognised + x.deferred + x.tax, 0) AS of_lines
      FROM (SELECT 'credit_note' AS kind, id::text AS id, '1' AS nth, invoice_id, currency,
                   recognised, deferred, tax, true AS stands, NULL::uuid AS payment_id
              FROM credit_notes
             UNION ALL
            SELECT 'refund', f.id::text, '1', i.id, f.currency, f.recognised, f.deferred, f.tax,
                   f.state NOT IN ('failed', 'canceled'), f.payment_id
              FROM refunds f
              JOIN payments p ON p.id = f.payment_id
              JOIN invoices i ON i.id = p.invoice_id AND i.kind <> 'top_up'
             WHERE f.note_id IS NULL
             UNION ALL
            SELECT e.kind, e.id, e.nth, i.id, i.currency, e.recognised, e.deferred, e.tax, e.stands,
                   e.payment_id
              FROM (SELECT CASE e.kind WHEN '{EntryKind.WRITE_OFF}' THEN 'write_off'
                                ELSE 'dispute' END AS kind,
                           split_part(e.source_key, ':', 2) AS id,
                           split_part(e.source_key, ':', 3) AS nth, {STANDS} AS stands,
                           CASE e.kind WHEN '{EntryKind.WRITE_OFF}'
                                THEN split_part(e.source_key, ':', 2)
                                ELSE p.invoice_id::text END AS invoice_id, d.payment_id,
                           coalesce(sum(l.amount) FILTER (
                             WHERE a.code IN ('bad_debt', 'disputes_contra')), 0) AS recognised,
                           coalesce(sum(l.amount) FILTER (
                             WHERE a.code = 'deferred_revenue'), 0) AS deferred,
                           coalesce(sum(l.amount) FILTER (
                             WHERE a.code = 'tax_payable'), 0) AS tax
                      FROM ledger.entries e
                      JOIN ledger.postings l ON l.entry_id = e.id
                      JOIN ledger.accounts a ON a.id = l.account_id
                      LEFT JOIN disputes d ON e.kind = '{EntryKind.DISPUTE_LOST}'
                       AND d.id::text = split_part(e.source_key, ':', 2)
                      LEFT JOIN payments p ON p.id = d.payment_id
                     WHERE e.kind IN ('{EntryKind.WRITE_OFF}', '{EntryKind.DISPUTE_LOST}')
                     GROUP BY e.id, e.kind, e.source_key, d.payment_id, p.invoice_id) e
              JOIN invoices i ON i.id::text = e.invoice_id AND i.kind <> 'top_up') s
      FULL JOIN (SELECT kind, source_id::text AS id, nth::text AS nth, invoice_id,
                        sum(recognised) AS recognised, sum(deferred) AS deferred, sum(tax) AS tax
                   FROM line_parts GROUP BY 1, 2, 3, 4) x
        ON x.kind = s.kind AND x.id = s.id AND x.nth = s.nth
     WHERE s.id IS NULL OR x.id IS NULL AND s.stands AND s.deferred + s.tax > 0
        OR x.invoice_id <> s.invoice_id OR x.deferred <> s.deferred OR x.tax <> s.tax
        OR x.recognised > s.recognised
        OR coalesce(x.recognised, 0) < s.recognised AND (s.stands OR x.id IS NOT NULL)
           AND NOT EXISTS (SELECT FROM breaks b WHERE b.payment_id = s.payment_id)
     UNION ALL
    SELECT 'credit_note', n.id::text, n.currency, l.net + l.tax,
           coalesce(x.recognised + x.deferred + x.tax, 0)
      FROM credit_note_lines l
      JOIN credit_notes n ON n.id = l.note_id
      LEFT JOIN line_parts x ON x.kind = 'credit_note' AND x.source_id = n.id AND x.line = l.line
     WHERE l.net + l.tax <> coalesce(x.recognised + x.deferred + x.tax, 0)
       AND NOT EXISTS (SELECT FROM line_parts o
                        WHERE o.invoice_id = n.invoice_id AND o.kind <> 'credit_note')""",
    "kind, id",
)

# Of a line no more is earned than its days that have passed, each the same, the first ones rounded
# up. Lines of earlier releases have no period of their own. What several lines had earned together
# before was split over them, rounded at each step. What credit paid of an invoice that was written
# off is earned with the write-off. Who was moved to another zone may have earned a day in both.
# Facts and zones that can't be read are findings of their own.
_EARNED_EARLY = check(
    FindingKind.EARNED_EARLY,
    """
    SELECT number, line, through, currency, earned, due_by_then
      FROM (SELECT number, line, through, currency, earned,
                   CASE WHEN passed <= 0 OR days <= 0 THEN 0
                        ELSE net / days * least(passed, days)
                             + least(net % days, passed, days) + slack END AS due_by_then
              FROM (SELECT i.number, r.line, r.through, i.currency, l.amount AS net,
                           sum(r.amount) OVER so_far AS earned,
                           greatest((r.through AT TIME ZONE z.zone)::date
                                      - (w.starts AT TIME ZONE z.zone)::date,
                                    (r.through AT TIME ZONE z.own)::date
                                      - (w.starts AT TIME ZONE z.own)::date)
                             + (z.zone <> z.own)::int AS passed,
                           (w.ends AT TIME ZONE z.zone)::date
                             - (w.starts AT TIME ZONE z.zone)::date AS days,
                           CASE WHEN EXISTS (SELECT FROM invoice_lines o
                                              WHERE o.invoice_id = i.id AND o.line > 1)
                                THEN count(*) OVER so_far ELSE 0 END AS slack
                      FROM revenue_recognitions r
                      JOIN invoice_lines l ON l.invoice_id = r.invoice_id AND l.line = r.line
                      JOIN invoices i ON i.id = r.invoice_id AND i.facts IS NOT NULL
                      LEFT JOIN subscriptions s ON s.id = i.subscription_id
                     CROSS JOIN LATERAL (
                           SELECT CASE WHEN l.earned_at_issue OR l.period_start IS NULL
                                       THEN i.issued_at - interval '1 microsecond'
                                       ELSE l.period_start END AS starts,
                                  CASE WHEN l.earned_at_issue OR l.period_start IS NULL
                                       THEN i.issued_at
                                       ELSE least(l.period_end,
                                         (SELECT min(k.cut_at) FROM cycle_cuts k
                                           WHERE k.subscription_id = i.subscription_id
                                             AND k.cut_at > l.period_start),
                                         CASE WHEN s.canceled_at > l.period_start
                                              THEN s.canceled_at END) END AS ends) w
                     CROSS JOIN LATERAL (
                           SELECT substring(i.facts FROM '"zone":"([^"]*)"') AS zone) f
                     CROSS JOIN LATERAL (
                           SELECT CASE WHEN f.zone IN (SELECT name FROM pg_timezone_names)
                                       THEN f.zone ELSE 'UTC' END AS own) t
                     CROSS JOIN LATERAL (
                           SELECT t.own, CASE WHEN s.segment_from_n = 0 AND s.zone IN
                                                   (SELECT name FROM pg_timezone_names)
                                              THEN s.zone ELSE t.own END AS zone) z
                     WHERE r.through < w.ends
                       AND NOT EXISTS (SELECT FROM line_parts x
                                        WHERE x.source_id = i.id AND x.kind = 'write_off')
                    WINDOW so_far AS (PARTITION BY r.invoice_id, r.line ORDER BY r.through)
                   ) step
           ) bounded
     WHERE earned > due_by_then""",
    "number, line, through",
)

EARNED: Final = (
    _RECOGNITION_BOOKED,
    _INVOICED_ADDS_UP,
    _DEFERRED_ADDS_UP,
    _PARTS_BY_LINE,
    _EARNED_EARLY,
)
