"""Checking money after its capture: refunded, disputed, earned.

Part of promise 3 (`promise_checks`): every row is compared with what the journal has of it.
"""
# ruff: noqa: S608  statements are put together from constants of this file

from typing import Final

from billing.ledger.keys import EntryKind
from billing.rules.reconciliation import DISPUTES, OF_CUSTOMERS, MovementKind, RowOutcome
from billing.store.promises.check import STANDS, check, in_list, in_words

_REFUNDS_COUNTED = check(
    """
    SELECT p.id, p.state, p.currency, p.amount_captured, p.amount_refunded,
           coalesce(r.standing, 0) AS standing, coalesce(r.succeeded, 0) AS succeeded,
           coalesce(d.lost, 0) AS lost
      FROM payments p
      LEFT JOIN (SELECT payment_id,
                        sum(amount) FILTER (WHERE state NOT IN ('failed', 'canceled')) AS standing,
                        sum(amount) FILTER (WHERE state = 'succeeded') AS succeeded
                   FROM refunds GROUP BY payment_id) r ON r.payment_id = p.id
      LEFT JOIN (SELECT payment_id, sum(lost_recognised + lost_deferred + lost_tax) AS lost
                   FROM disputes WHERE state = 'lost' GROUP BY payment_id) d
        ON d.payment_id = p.id
     WHERE p.amount_refunded <> coalesce(r.standing, 0)
        OR (p.state = 'REFUNDED') <>
           (p.amount_captured > 0 AND coalesce(r.succeeded, 0) = p.amount_captured)
        OR p.amount_refunded + coalesce(d.lost, 0) > p.amount_captured
           AND NOT EXISTS (SELECT FROM breaks b WHERE b.payment_id = p.id)""",
    "id",
    lambda row: (
        f"payment {row.id} is {row.state} with {in_words(row.amount_captured, row.currency)}"
        f" captured and counts {in_words(row.amount_refunded, row.currency)} refunded; its refunds"
        f" add up to {in_words(row.standing, row.currency)},"
        f" {in_words(row.succeeded, row.currency)} of them succeeded, and"
        f" {in_words(row.lost, row.currency)} were lost in disputes"
    ),
)

_REFUND_BOOKED = check(
    f"""
    SELECT coalesce(r.id, j.refund) AS id, r.state, coalesce(r.currency, j.currency) AS currency,
           r.amount, coalesce(j.asked, 0) AS asked, coalesce(j.paid, 0) AS paid
      FROM (SELECT id::text AS id, state, currency, amount, recognised, deferred, tax,
                   (state NOT IN ('failed', 'canceled'))::int AS stands,
                   (state = 'succeeded')::int AS succeeded
              FROM refunds) r
      FULL JOIN (
           SELECT split_part(e.source_key, ':', 2) AS refund, min(l.currency) AS currency,
                  sum(l.amount) FILTER (WHERE a.code = 'refunds_contra') AS recognised,
                  sum(l.amount) FILTER (WHERE a.code = 'deferred_revenue') AS deferred,
                  sum(l.amount) FILTER (WHERE a.code = 'tax_payable') AS tax,
                  -sum(l.amount) FILTER (WHERE e.kind = 'refund_requested'
                                           AND a.code = 'refund_payable') AS asked,
                  -sum(l.amount) FILTER (WHERE a.code = 'psp_clearing') AS paid
             FROM ledger.entries e
             JOIN ledger.postings l ON l.entry_id = e.id
             JOIN ledger.accounts a ON a.id = l.account_id
            WHERE e.kind IN ('refund_requested', 'refund_succeeded') AND {STANDS}
            GROUP BY 1) j
        ON j.refund = r.id
     WHERE r.id IS NULL OR j.currency <> r.currency
        OR coalesce(j.asked, 0) <> r.amount * r.stands
        OR coalesce(j.recognised, 0) <> r.recognised * r.stands
        OR coalesce(j.deferred, 0) <> r.deferred * r.stands
        OR coalesce(j.tax, 0) <> r.tax * r.stands
        OR coalesce(j.paid, 0) <> r.amount * r.succeeded""",
    "id",
    lambda row: (
        f"refund {row.id} over {in_words(row.amount, row.currency)} is"
        f" {row.state or 'not there'}; the journal has {in_words(row.asked, row.currency)} of it"
        f" promised and {in_words(row.paid, row.currency)} paid, or splits it otherwise"
    ),
)

_DISPUTE_BOOKED = check(
    f"""
    SELECT coalesce(d.id, j.dispute) AS id, d.state, d.funds_withdrawn,
           coalesce(d.currency, j.currency) AS currency, d.lost, coalesce(j.held, 0) AS held,
           coalesce(j.lost, 0) AS booked
      FROM (SELECT id::text AS id, state, currency, funds_withdrawn,
                   lost_recognised + lost_deferred + lost_tax AS lost
              FROM disputes) d
      FULL JOIN (
           SELECT split_part(e.source_key, ':', 2) AS dispute,
                  min(l.currency) FILTER (WHERE a.code = 'dispute_receivable') AS currency,
                  sum(l.amount) FILTER (WHERE a.code = 'dispute_receivable') AS held,
                  -sum(l.amount) FILTER (WHERE e.kind = 'dispute_lost'
                                           AND a.code = 'dispute_receivable') AS lost
             FROM ledger.entries e
             JOIN ledger.postings l ON l.entry_id = e.id
             JOIN ledger.accounts a ON a.id = l.account_id
            WHERE e.kind IN ('dispute_opened', 'dispute_won', 'dispute_lost') AND {STANDS}
            GROUP BY 1) j
        ON j.dispute = d.id
     WHERE d.id IS NULL OR j.currency <> d.currency
        OR coalesce(j.lost, 0) <> d.lost
        OR (coalesce(j.held, 0) > 0) <> (d.funds_withdrawn AND d.state <> 'lost')
        OR coalesce(j.held, 0) < 0""",
    "id",
    lambda row: (
        f"dispute {row.id} is {row.state or 'not there'} with"
        f" {in_words(row.lost, row.currency)} lost; the journal has"
        f" {in_words(row.booked, row.currency)} lost and"
        f" {in_words(row.held, row.currency)} withheld"
    ),
)

_RECOGNITION_BOOKED = check(
    """
    SELECT coalesce(r.invoice, j.invoice) AS invoice, coalesce(i.number, '?') AS number,
           coalesce(i.currency, j.currency) AS currency, coalesce(r.amount, 0) AS amount,
           coalesce(j.amount, 0) AS booked
      FROM (SELECT invoice_id::text AS invoice, sum(amount) AS amount, count(*) AS steps
              FROM revenue_recognitions GROUP BY invoice_id) r
      FULL JOIN (
           SELECT split_part(e.source_key, ':', 2) AS invoice, min(l.currency) AS currency,
                  sum(l.amount) FILTER (WHERE a.code = 'deferred_revenue') AS amount,
                  count(DISTINCT e.id) AS steps
             FROM ledger.entries e
             JOIN ledger.postings l ON l.entry_id = e.id
             JOIN ledger.accounts a ON a.id = l.account_id
            WHERE e.kind IN ('revenue_recognized', 'recognition_taken_back')
            GROUP BY 1) j
        ON j.invoice = r.invoice
      LEFT JOIN invoices i ON i.id::text = coalesce(r.invoice, j.invoice)
     WHERE r.amount IS DISTINCT FROM j.amount OR r.steps IS DISTINCT FROM j.steps
        OR j.currency IS DISTINCT FROM i.currency""",
    "invoice",
    lambda row: (
        f"of invoice {row.number} ({row.invoice}) {in_words(row.amount, row.currency)} are"
        f" recognised, the journal has {in_words(row.booked, row.currency)}"
    ),
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
      LEFT JOIN (SELECT p.invoice_id, sum(g.deferred) AS deferred
                   FROM (SELECT payment_id, deferred FROM refunds
                          WHERE state NOT IN ('failed', 'canceled')
                          UNION ALL
                         SELECT payment_id, lost_deferred FROM disputes WHERE state = 'lost') g
                   JOIN payments p ON p.id = g.payment_id GROUP BY p.invoice_id) b
        ON b.invoice_id = i.id
      LEFT JOIN (SELECT split_part(e.source_key, ':', 2) AS invoice, sum(l.amount) AS deferred
                   FROM ledger.entries e
                   JOIN ledger.postings l ON l.entry_id = e.id
                   JOIN ledger.accounts a ON a.id = l.account_id AND a.code = 'deferred_revenue'
                  WHERE e.kind IN ('write_off', 'invoice_voided') AND {STANDS}
                  GROUP BY 1) w ON w.invoice = i.id::text"""

_INVOICED_ADDS_UP = check(
    f"""
    SELECT * FROM ({_LEFT}) standing
     WHERE deferred < 0
        OR deferred > 0 AND (status IN ('void', 'uncollectible') OR recognise_at IS NULL)""",
    "number",
    lambda row: (
        f"invoice {row.number} over {in_words(row.net, row.currency)} is {row.status}:"
        f" {in_words(row.recognised, row.currency)} recognised,"
        f" {in_words(row.given_back, row.currency)} given back,"
        f" {in_words(row.given_up, row.currency)} given up, which leaves"
        f" {in_words(row.deferred, row.currency)} that"
        + (" never was" if row.deferred < 0 else " nobody will recognise")
    ),
)

_DEFERRED_ADDS_UP = check(
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
    lambda row: (
        f"all invoices leave {in_words(row.deferred, row.currency)} to be recognised, the journal"
        f" has {in_words(row.booked, row.currency)} deferred"
    ),
)

_FEE_BOOKED = check(
    f"""
    SELECT coalesce(r.id, j.id) AS id, coalesce(r.currency, j.currency) AS currency,
           coalesce(r.fee, 0) AS fee, coalesce(j.fee, 0) AS booked
      FROM (SELECT provider_transaction_id AS id, currency,
                   CASE WHEN kind = '{MovementKind.FEE}' THEN -net ELSE fee END AS fee
              FROM settlement_rows
             WHERE posted_at IS NOT NULL AND outcome <> '{RowOutcome.RESOLVED}'
               AND kind NOT IN {in_list(DISPUTES)}) r
      FULL JOIN (
           SELECT substr(e.source_key, length('{EntryKind.FEE_SETTLED.prefix}') + 1) AS id,
                  min(l.currency) AS currency, sum(l.amount) AS fee
             FROM ledger.entries e
             JOIN ledger.postings l ON l.entry_id = e.id
             JOIN ledger.accounts a ON a.id = l.account_id AND a.code = 'psp_fees'
            WHERE e.kind = 'fee_settled' AND {STANDS}
            GROUP BY 1) j
        ON j.id = r.id
     WHERE coalesce(r.fee, 0) <> coalesce(j.fee, 0) OR j.currency <> r.currency""",
    "id",
    lambda row: (
        f"of {row.id} the provider kept {in_words(row.fee, row.currency)}, the journal has"
        f" {in_words(row.booked, row.currency)}"
    ),
)

# An exchange has two sides, each in its own currency; only exchanges post to `fx_position`.
_EXCHANGE_BOOKED = check(
    f"""
    SELECT coalesce(x.source_key, j.source_key, r.source_key) AS id, x.from_amount,
           x.from_currency, x.to_amount, x.to_currency, j.sides::text AS sides
      FROM fx_events x
      FULL JOIN (
           SELECT e.source_key, jsonb_object_agg(l.currency, l.amount) AS sides
             FROM ledger.entries e
             JOIN ledger.postings l ON l.entry_id = e.id
             JOIN ledger.accounts a ON a.id = l.account_id AND a.code = 'fx_position'
            WHERE e.kind = 'fx_event' AND {STANDS}
            GROUP BY 1) j
        ON j.source_key = x.source_key
      FULL JOIN (
           SELECT '{EntryKind.FX_EVENT.prefix}' || provider_transaction_id AS source_key
             FROM settlement_rows
            WHERE posted_at IS NOT NULL AND outcome <> '{RowOutcome.RESOLVED}'
              AND kind IN {in_list(OF_CUSTOMERS)}
              AND customer_currency <> currency AND amount <> 0 AND customer_amount <> 0) r
        ON r.source_key = coalesce(x.source_key, j.source_key)
     WHERE j.sides IS DISTINCT FROM CASE WHEN x.source_key IS NOT NULL THEN jsonb_build_object(
             x.from_currency, x.from_amount, x.to_currency, -x.to_amount) END
        OR r.source_key IS NOT NULL AND x.source_key IS NULL""",
    "id",
    lambda row: (
        f"{row.id} exchanged "
        + (
            "money of which nothing is written down"
            if row.from_currency is None
            else f"{in_words(row.from_amount, row.from_currency)} for"
            f" {in_words(row.to_amount, row.to_currency)}"
        )
        + f"; the journal has {row.sides or 'nothing of it'}"
    ),
)

EVERY_PENNY: Final = (
    _REFUNDS_COUNTED,
    _REFUND_BOOKED,
    _DISPUTE_BOOKED,
    _RECOGNITION_BOOKED,
    _INVOICED_ADDS_UP,
    _DEFERRED_ADDS_UP,
    _FEE_BOOKED,
    _EXCHANGE_BOOKED,
)
