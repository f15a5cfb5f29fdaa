"""Promise 3 for movements: payouts are in the journal, and matched rows agree with our side."""
# ruff: noqa: S608  statements are put together from constants of this file

from typing import Final

from billing.ledger.keys import EntryKind
from billing.rules.promises import FindingKind
from billing.rules.reconciliation import (
    ENDED,
    OF_CUSTOMERS,
    PAYOUTS,
    MovementKind,
    RowOutcome,
)
from billing.store.in_list import in_list
from billing.store.promises.check import STANDS, check
from billing.store.source_keys import within_sql

# What the customer paid or got back, as the provider shows it.
_SHOWN: Final = """coalesce(r.customer_amount, r.amount) AS shown,
             coalesce(r.customer_currency, r.currency) AS shown_in"""
_NOT_POSTED: Final = in_list([RowOutcome.RESOLVED, RowOutcome.OTHER_ENGINE])
_ROW_ID: Final = within_sql("r.provider", "r.provider_transaction_id")
_PAYOUT_ID: Final = within_sql(
    "provider", "coalesce(source_id, provider_payout_id, provider_transaction_id)"
)

# What left and what came back, each under the payout's id.
_PAYOUT_BOOKED = check(
    FindingKind.PAYOUT_ENTRY,
    f"""
    SELECT coalesce(r.id, j.id) AS id, coalesce(r.kind, j.kind) AS kind,
           coalesce(r.currency, j.currency) AS currency, coalesce(r.amount, 0) AS moved,
           coalesce(j.amount, 0) AS booked
      FROM (SELECT {_PAYOUT_ID} AS id, kind, min(currency) AS currency, sum(amount) AS amount
              FROM settlement_rows
             WHERE posted_at IS NOT NULL AND outcome NOT IN {_NOT_POSTED}
               AND kind IN {in_list(PAYOUTS)}
             GROUP BY 1, 2) r
      FULL JOIN (
           SELECT substr(e.source_key, length(e.kind) + 2) AS id,
                  CASE e.kind WHEN '{EntryKind.PAYOUT_SENT}' THEN '{MovementKind.PAYOUT}'
                              ELSE '{MovementKind.PAYOUT_FAILURE}' END AS kind,
                  min(l.currency) AS currency, sum(l.amount) AS amount
             FROM ledger.entries e
             JOIN ledger.postings l ON l.entry_id = e.id
             JOIN ledger.accounts a ON a.id = l.account_id AND a.code = 'psp_clearing'
            WHERE e.kind IN ('{EntryKind.PAYOUT_SENT}', '{EntryKind.PAYOUT_FAILED}')
            GROUP BY 1, 2) j
        ON j.id = r.id AND j.kind = r.kind
     WHERE coalesce(r.amount, 0) <> coalesce(j.amount, 0) OR j.currency <> r.currency""",
    "id, kind",
)

# One that arrived may fail later, and its return is booked by the next run.
_PAYOUT_ARRIVED = check(
    FindingKind.PAYOUT_ARRIVAL,
    f"""
    SELECT coalesce(o.id, j.id) AS id, coalesce(o.currency, j.currency) AS currency,
           coalesce(o.amount, 0) AS amount, o.status, coalesce(j.amount, 0) AS booked
      FROM (SELECT {within_sql("provider", "provider_payout_id")} AS id, currency, amount, status
              FROM payouts) o
      FULL JOIN (
           SELECT substr(e.source_key, length('{EntryKind.PAYOUT_ARRIVED.prefix}') + 1) AS id,
                  min(l.currency) AS currency, sum(l.amount) AS amount
             FROM ledger.entries e
             JOIN ledger.postings l ON l.entry_id = e.id
             JOIN ledger.accounts a ON a.id = l.account_id AND a.code = 'bank'
            WHERE e.kind = '{EntryKind.PAYOUT_ARRIVED}' AND {STANDS}
            GROUP BY 1) j
        ON j.id = o.id
      LEFT JOIN (
           SELECT substr(e.source_key, length('{EntryKind.PAYOUT_SENT.prefix}') + 1) AS id,
                  min(l.currency) AS currency, sum(l.amount) AS amount,
                  bool_or(EXISTS (SELECT FROM ledger.entries r WHERE r.reverses_entry_id = e.id))
                    AS came_back
             FROM ledger.entries e
             JOIN ledger.postings l ON l.entry_id = e.id
             JOIN ledger.accounts a ON a.id = l.account_id AND a.code = 'payout_transit'
            WHERE e.kind = '{EntryKind.PAYOUT_SENT}'
            GROUP BY 1) s
        ON s.id = coalesce(o.id, j.id)
     WHERE o.id IS NULL OR j.amount <> o.amount OR j.currency <> o.currency
        OR s.amount <> o.amount OR s.currency <> o.currency
        OR j.id IS NOT NULL AND (o.status NOT IN {in_list(ENDED)} OR s.came_back)""",
    "id",
)

# A matched row was compared with our side, and our side has not changed since.
_ROWS_AGREE = check(
    FindingKind.ROW_CONTRADICTS_BOOKS,
    f"""
    SELECT {_ROW_ID} AS id, r.kind, r.outcome, r.amount, r.currency
      FROM (SELECT r.*, {_SHOWN} FROM settlement_rows r
             WHERE r.outcome = '{RowOutcome.MATCHED}' AND r.posted_at IS NOT NULL) r
     WHERE r.kind IN {in_list(OF_CUSTOMERS)} AND r.shown_in = r.currency AND r.shown <> r.amount
        OR CASE r.kind
           WHEN '{MovementKind.CHARGE}' THEN NOT EXISTS (
             SELECT FROM payments p
              WHERE p.id = r.payment_id AND p.settled_at IS NOT NULL AND p.currency = r.shown_in
                AND p.provider_charge_id IS NOT DISTINCT FROM
                    coalesce(r.provider_charge_id, p.provider_charge_id)
                AND p.amount_captured = r.shown + CASE WHEN p.amount_captured < p.amount THEN
                      (SELECT coalesce(sum(coalesce(v.customer_amount, v.amount)), 0)
                         FROM settlement_rows v
                        WHERE v.provider = r.provider
                          AND v.provider_payment_id = p.provider_payment_id
                          AND v.kind = '{MovementKind.CAPTURE_REVERSAL}'
                          AND v.outcome IS DISTINCT FROM '{RowOutcome.RESOLVED}')
                      ELSE 0 END)
           WHEN '{MovementKind.REFUND}' THEN NOT EXISTS (
             SELECT FROM refunds f
              WHERE f.payment_id = r.payment_id AND f.settled_at IS NOT NULL
                AND f.amount = -r.shown AND f.currency = r.shown_in
                AND f.provider_refund_id IS NOT DISTINCT FROM
                    coalesce(r.source_id, f.provider_refund_id))
           WHEN '{MovementKind.DISPUTE}' THEN NOT EXISTS (
             SELECT FROM disputes d
              WHERE d.provider_dispute_id = r.source_id AND d.provider = r.provider
                AND d.payment_id IS NOT DISTINCT FROM r.payment_id
                AND r.provider_transaction_id = ANY (d.transaction_ids))
           WHEN '{MovementKind.DISPUTE_REVERSAL}' THEN NOT EXISTS (
             SELECT FROM disputes d
              WHERE d.provider_dispute_id = r.source_id AND d.provider = r.provider
                AND d.payment_id IS NOT DISTINCT FROM r.payment_id
                AND r.provider_transaction_id = ANY (d.transaction_ids))
           ELSE false END""",
    "id",
)

# The place in a dispute's key, behind its kind, where a transaction's id begins, which may hold
# colons itself.
_BEHIND_DISPUTE: Final = len(":") + 36 + len(":") + 1
# The fee, and each transaction that moved money of the dispute.
_DISPUTE_MOVED = check(
    FindingKind.DISPUTE_MOVEMENTS,
    f"""
    SELECT d.id, d.state, d.fee, coalesce(d.fee_currency, d.currency) AS fee_currency,
           d.transaction_ids, coalesce(j.fee, 0) AS booked,
           coalesce(j.fee_currency, d.currency) AS booked_in,
           coalesce(j.transactions, '{{}}') AS booked_under
      FROM disputes d
      LEFT JOIN (
           SELECT split_part(e.source_key, ':', 2) AS dispute,
                  array_agg(DISTINCT substr(e.source_key, length(e.kind) + {_BEHIND_DISPUTE}))
                    AS transactions,
                  sum(l.amount) FILTER (WHERE a.code = 'dispute_fees') AS fee,
                  min(l.currency) FILTER (WHERE a.code = 'dispute_fees') AS fee_currency
             FROM ledger.entries e
             JOIN ledger.postings l ON l.entry_id = e.id
             JOIN ledger.accounts a ON a.id = l.account_id
            WHERE e.kind IN ('{EntryKind.DISPUTE_OPENED}', '{EntryKind.DISPUTE_WON}') AND {STANDS}
            GROUP BY 1) j
        ON j.dispute = d.id::text
     WHERE d.fee <> coalesce(j.fee, 0) OR j.fee_currency <> d.fee_currency
        OR NOT coalesce(j.transactions, '{{}}') <@ d.transaction_ids""",
    "id",
)

MOVED: Final = (_PAYOUT_BOOKED, _PAYOUT_ARRIVED, _ROWS_AGREE, _DISPUTE_MOVED)
