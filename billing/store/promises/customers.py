"""Checking the customer of every row: it is the customer of the row that this one belongs to."""

# ruff: noqa: S608  statements are put together from constants of this file

from typing import Final

from billing.ledger.keys import EntryKind
from billing.rules.promises import FindingKind
from billing.store.in_list import in_list
from billing.store.promises.check import check

_OF_REFUNDS: Final = in_list(
    (
        EntryKind.REFUND_REQUESTED,
        EntryKind.REFUND_SUCCEEDED,
        EntryKind.REFUND_FAILED,
        EntryKind.REFUND_RETURNED,
    )
)
_OF_DISPUTES: Final = in_list(
    (
        EntryKind.DISPUTE_OPENED,
        EntryKind.DISPUTE_WON,
        EntryKind.DISPUTE_LOST,
        EntryKind.DISPUTE_LOST_REVERSED,
    )
)
_OF_NOTES: Final = in_list((EntryKind.CREDIT_NOTE, EntryKind.CREDIT_NOTE_CREDITED))
# What the provider does with our own money, and revenue, which is nobody's.
_OF_NOBODY: Final = in_list(
    (
        EntryKind.ADJUSTMENT,
        EntryKind.FEE_SETTLED,
        EntryKind.FX_EVENT,
        EntryKind.MOVEMENT_BOOKED,
        EntryKind.PAYOUT_ARRIVED,
        EntryKind.PAYOUT_FAILED,
        EntryKind.PAYOUT_RETURNED,
        EntryKind.PAYOUT_SENT,
        EntryKind.RECOGNITION_TAKEN_BACK,
        EntryKind.REVENUE_RECOGNIZED,
    )
)

# An entry of a cycle, of a customer's account, of a refund or a dispute is that customer's.
ANOTHER_CUSTOMER: Final = check(
    FindingKind.OTHER_CUSTOMER,
    f"""
    SELECT 'cycle' AS what, c.id::text AS id FROM cycles c
      JOIN subscriptions s ON s.id = c.subscription_id
     WHERE c.customer_id <> s.customer_id
    UNION ALL
    SELECT 'attempt ' || a.n || ' of payment', a.payment_id::text FROM attempts a
      JOIN payments p ON p.id = a.payment_id
     WHERE a.customer_id <> p.customer_id
    UNION ALL
    SELECT k.kind || ' ' || k.n || ' of payment', k.subject_id::text FROM provider_calls k
      JOIN payments p ON p.id = k.subject_id AND k.kind IN ('charge', 'capture', 'void')
     WHERE k.customer_id <> p.customer_id
    UNION ALL
    SELECT k.kind || ' ' || k.n || ' of', k.subject_id::text FROM provider_calls k
      JOIN refunds r ON r.id = k.subject_id AND k.kind = 'refund'
     WHERE k.customer_id <> r.customer_id
    UNION ALL
    SELECT 'refund', r.id::text FROM refunds r JOIN payments p ON p.id = r.payment_id
     WHERE r.customer_id <> p.customer_id
    UNION ALL
    SELECT 'dispute', d.id::text FROM disputes d JOIN payments p ON p.id = d.payment_id
     WHERE d.customer_id IS DISTINCT FROM p.customer_id
    UNION ALL
    SELECT 'break', b.id::text FROM breaks b JOIN payments p ON p.id = b.payment_id
     WHERE b.customer_id IS DISTINCT FROM p.customer_id
    UNION ALL
    SELECT 'entry', e.source_key FROM ledger.entries e JOIN cycles c ON c.id = e.cycle_id
     WHERE e.customer_id IS DISTINCT FROM c.customer_id
    UNION ALL
    SELECT DISTINCT 'entry', e.source_key FROM ledger.entries e
      JOIN ledger.postings l ON l.entry_id = e.id
      JOIN ledger.accounts o ON o.id = l.account_id AND o.owner_id IS NOT NULL
     WHERE e.customer_id IS DISTINCT FROM o.owner_id
    UNION ALL
    SELECT 'entry', e.source_key FROM ledger.entries e
      JOIN refunds r ON r.id::text = split_part(e.source_key, ':', 2)
     WHERE e.kind IN {_OF_REFUNDS} AND e.customer_id IS DISTINCT FROM r.customer_id
    UNION ALL
    SELECT 'entry', e.source_key FROM ledger.entries e
      JOIN disputes d ON d.id::text = split_part(e.source_key, ':', 2)
     WHERE e.kind IN {_OF_DISPUTES} AND e.customer_id IS DISTINCT FROM d.customer_id
    UNION ALL
    SELECT 'entry', e.source_key FROM ledger.entries e
      JOIN credit_notes n ON n.id::text = split_part(e.source_key, ':', 2)
     WHERE e.kind IN {_OF_NOTES} AND e.customer_id IS DISTINCT FROM n.customer_id
    UNION ALL
    SELECT 'entry', e.source_key FROM ledger.entries e
     WHERE e.kind IN {_OF_NOBODY} AND e.customer_id IS NOT NULL""",
    "what, id",
)
