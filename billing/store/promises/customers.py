"""Checking the customer of every row: it is the customer of the row that this one belongs to."""

from typing import Final

from billing.rules.promises import FindingKind
from billing.store.promises.check import check

# An entry of a cycle, of a customer's account, of a refund or a dispute is that customer's.
ANOTHER_CUSTOMER: Final = check(
    FindingKind.OTHER_CUSTOMER,
    """
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
     WHERE e.customer_id IS DISTINCT FROM o.owner_id""",
    "what, id",
)
