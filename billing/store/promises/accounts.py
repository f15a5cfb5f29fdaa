"""Checking accounts at providers: what belongs together is at one."""
# ruff: noqa: S608  statements are put together from constants of this file

from typing import Final

from billing.ledger.keys import EntryKind
from billing.rules.promises import FindingKind
from billing.store.promises.check import check
from billing.store.source_keys import key_sql

# What a movement of an account at the provider posted to what that account holds.
_POSTED: Final = " UNION ALL ".join(
    f"""
    SELECT 'entry', e.source_key, a.provider, r.provider
      FROM settlement_rows r
      JOIN ledger.entries e
        ON e.source_key = {key_sql(kind, "r.provider", "r.provider_transaction_id")}
      JOIN ledger.postings l ON l.entry_id = e.id
      JOIN ledger.accounts a ON a.id = l.account_id
     WHERE a.provider <> r.provider"""
    for kind in (EntryKind.FEE_SETTLED, EntryKind.FX_EVENT, EntryKind.MOVEMENT_BOOKED)
)

ANOTHER_ACCOUNT: Final = check(
    FindingKind.OTHER_ACCOUNT,
    f"""
    SELECT 'payment method' AS what, m.id::text AS id, m.provider, NULL AS due
      FROM payment_methods m
     WHERE NOT EXISTS (SELECT FROM provider_customers t
                        WHERE t.customer_id = m.customer_id AND t.provider = m.provider)
    UNION ALL
    SELECT 'customer', u.id::text, u.provider, NULL FROM customers u
     WHERE NOT EXISTS (SELECT FROM provider_customers t
                        WHERE t.customer_id = u.id AND t.provider = u.provider)
    UNION ALL
    SELECT 'payment', p.id::text, p.provider, m.provider FROM payments p
      JOIN attempts a ON a.payment_id = p.id AND a.n = p.attempt_n
      JOIN payment_methods m ON m.id = a.payment_method_id
     WHERE p.provider <> m.provider
    UNION ALL
    SELECT 'payment', p.id::text, p.provider, NULL FROM payments p
     WHERE NOT EXISTS (SELECT FROM provider_customers t
                        WHERE t.customer_id = p.customer_id AND t.provider = p.provider)
    UNION ALL
    SELECT 'charge ' || k.n || ' of', k.subject_id::text, k.provider, m.provider
      FROM provider_calls k
      JOIN attempts a ON a.payment_id = k.subject_id AND a.n = k.n
      JOIN payment_methods m ON m.id = a.payment_method_id
     WHERE k.kind = 'charge' AND k.provider <> m.provider
    UNION ALL
    SELECT k.kind || ' ' || k.n || ' of', k.subject_id::text, k.provider, p.provider
      FROM provider_calls k JOIN payments p ON p.id = k.subject_id
     WHERE k.kind IN ('capture', 'void') AND k.provider <> p.provider
    UNION ALL
    SELECT 'refund ' || k.n || ' of', k.subject_id::text, k.provider, r.provider
      FROM provider_calls k JOIN refunds r ON r.id = k.subject_id
     WHERE k.kind = 'refund' AND k.provider <> r.provider
    UNION ALL
    SELECT 'customer ' || k.n || ' of', k.subject_id::text, k.provider, t.provider
      FROM provider_calls k JOIN provider_customers t ON t.id = k.subject_id
     WHERE k.kind = 'customer' AND k.provider <> t.provider
    UNION ALL
    SELECT k.kind || ' ' || k.n || ' of', k.subject_id::text, k.provider, NULL
      FROM provider_calls k
     WHERE NOT EXISTS (SELECT FROM provider_customers t
                        WHERE t.customer_id = k.customer_id AND t.provider = k.provider)
    UNION ALL
    SELECT 'refund', r.id::text, r.provider, p.provider FROM refunds r
      JOIN payments p ON p.id = r.payment_id
     WHERE r.provider <> p.provider
    UNION ALL
    SELECT 'dispute', d.id::text, d.provider, p.provider FROM disputes d
      JOIN payments p ON p.id = d.payment_id
     WHERE d.provider <> p.provider
    UNION ALL
    SELECT 'movement', r.provider_transaction_id, r.provider, p.provider FROM settlement_rows r
      JOIN payments p ON p.id = r.payment_id
     WHERE r.provider <> p.provider
    UNION ALL
    SELECT 'exchange', x.source_key, x.provider, p.provider FROM fx_events x
      JOIN payments p ON p.id = x.payment_id
     WHERE x.provider <> p.provider
    UNION ALL
    SELECT 'break', b.id::text, b.provider, p.provider FROM breaks b
      JOIN payments p ON p.id = b.payment_id
     WHERE b.provider <> p.provider
    UNION ALL {_POSTED}""",
    "what, id",
)
