"""Checking the account at the provider: a customer is at one, and so is all that follows."""
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
    SELECT 'payment method' AS what, m.id::text AS id, m.provider, u.provider AS due
      FROM payment_methods m JOIN customers u ON u.id = m.customer_id
     WHERE m.provider <> u.provider
    UNION ALL
    SELECT 'payment', p.id::text, p.provider, u.provider FROM payments p
      JOIN customers u ON u.id = p.customer_id
     WHERE p.provider <> u.provider
    UNION ALL
    SELECT k.kind || ' ' || k.n || ' of', k.subject_id::text, k.provider, u.provider
      FROM provider_calls k JOIN customers u ON u.id = k.customer_id
     WHERE k.provider <> u.provider
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
