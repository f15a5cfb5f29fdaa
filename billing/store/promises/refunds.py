"""Promise 3 for refunds: they add up, and the journal has them."""
# ruff: noqa: S608  statements are put together from constants of this file

from typing import Final

from billing.ledger.keys import EntryKind
from billing.rules.promises import FindingKind
from billing.rules.reconciliation import BreakKind, MovementKind
from billing.store.in_list import in_list
from billing.store.promises.check import STANDS, check

_KINDS: Final = in_list((EntryKind.REFUND_REQUESTED, EntryKind.REFUND_SUCCEEDED))

_REFUNDS_COUNTED = check(
    FindingKind.REFUNDS_ADD_UP,
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
)

_REFUND_BOOKED = check(
    FindingKind.REFUND_ENTRY,
    f"""
    SELECT coalesce(r.id, j.refund) AS id, r.state, coalesce(r.currency, j.currency) AS currency,
           r.amount, coalesce(j.asked, 0) AS asked, coalesce(j.paid, 0) AS paid
      FROM (SELECT id::text AS id, state, currency, amount, recognised, deferred, tax,
                   provider, created_at, note_id,
                   (state NOT IN ('failed', 'canceled'))::int AS stands,
                   (state = 'succeeded')::int AS succeeded
              FROM refunds) r
      FULL JOIN (
           SELECT split_part(e.source_key, ':', 2) AS refund, min(l.currency) AS currency,
                  sum(l.amount) FILTER (WHERE a.code = 'refunds_contra') AS recognised,
                  sum(l.amount) FILTER (WHERE a.code = 'deferred_revenue') AS deferred,
                  sum(l.amount) FILTER (WHERE a.code = 'tax_payable') AS tax,
                  -sum(l.amount) FILTER (WHERE e.kind = '{EntryKind.REFUND_REQUESTED}'
                                           AND a.code = 'refund_payable') AS asked,
                  -sum(l.amount) FILTER (WHERE a.code = 'psp_clearing') AS paid,
                  min(a.provider) AS provider,
                  min(e.effective_at) FILTER (WHERE e.kind = '{EntryKind.REFUND_REQUESTED}')
                    AS asked_at
             FROM ledger.entries e
             JOIN ledger.postings l ON l.entry_id = e.id
             JOIN ledger.accounts a ON a.id = l.account_id
            WHERE e.kind IN {_KINDS} AND {STANDS}
            GROUP BY 1) j
        ON j.refund = r.id
     WHERE r.id IS NULL OR j.currency <> r.currency OR j.provider <> r.provider
        OR j.asked_at <> r.created_at
        OR coalesce(j.asked, 0) <> CASE WHEN r.note_id IS NULL THEN r.amount * r.stands ELSE 0 END
        OR coalesce(j.recognised, 0) <> r.recognised * r.stands
        OR coalesce(j.deferred, 0) <> r.deferred * r.stands
        OR coalesce(j.tax, 0) <> r.tax * r.stands
        OR coalesce(j.paid, 0) <> r.amount * r.succeeded""",
    "id",
)

# A row shows the provider's id of the refund, or ours where a report has no source.
_SETTLED = check(
    FindingKind.REFUND_SETTLED_UNSEEN,
    f"""
    SELECT f.id, f.state, f.settled_at FROM refunds f
     WHERE f.settled_at IS NOT NULL
       AND NOT EXISTS (SELECT FROM settlement_rows r
                        WHERE r.provider = f.provider AND r.kind = '{MovementKind.REFUND}'
                          AND r.posted_at = f.settled_at
                          AND r.source_id = f.provider_refund_id)
       AND NOT EXISTS (SELECT FROM settlement_rows r
                        WHERE r.provider = f.provider AND r.kind = '{MovementKind.REFUND}'
                          AND r.posted_at = f.settled_at
                          AND r.metadata ->> 'refund' = f.id::text)
       AND NOT EXISTS (SELECT FROM breaks b
                        WHERE b.kind = '{BreakKind.REFUND_MISSING}'
                          AND b.resolved_at = f.settled_at AND b.ours ->> 'refund' = f.id::text)""",
    "id",
)

REFUNDED: Final = (_REFUNDS_COUNTED, _REFUND_BOOKED, _SETTLED)
