"""Promise 3 for instants: an entry is effective when its event was."""
# ruff: noqa: S608  statements are put together from constants of this file

from typing import Final

from billing.ledger.keys import EntryKind
from billing.rules.payments import State
from billing.rules.promises import FindingKind
from billing.rules.reconciliation import PAYOUTS
from billing.store.in_list import in_list
from billing.store.promises.check import check
from billing.store.source_keys import key_sql

_OF_A_ROW: Final = (EntryKind.FEE_SETTLED, EntryKind.MOVEMENT_BOOKED, EntryKind.FX_EVENT)


def _row(kind: EntryKind) -> str:
    return f"""
    SELECT e.source_key, e.effective_at, r.created AS happened_at
      FROM settlement_rows r
      JOIN ledger.entries e
        ON e.source_key = {key_sql(kind, "r.provider", "r.provider_transaction_id")}
     WHERE e.effective_at <> r.created"""


def _payout(kind: EntryKind, sign: str) -> str:
    payout = "coalesce(r.source_id, r.provider_payout_id, r.provider_transaction_id)"
    return f"""
    SELECT e.source_key, e.effective_at, r.created
      FROM settlement_rows r
      JOIN ledger.entries e ON e.source_key = {key_sql(kind, "r.provider", payout)}
     WHERE r.kind IN {in_list(PAYOUTS)} AND r.amount {sign} 0 AND e.effective_at <> r.created"""


# What was recognised has the instant in its key.
_AT_ITS_INSTANT = check(
    FindingKind.ENTRY_INSTANT,
    " UNION ALL ".join(
        (
            *(_row(kind) for kind in _OF_A_ROW),
            _payout(EntryKind.PAYOUT_SENT, "<"),
            _payout(EntryKind.PAYOUT_FAILED, ">"),
            # A capture that was taken back has its instant in the payment's history alone.
            f"""
    SELECT e.source_key, e.effective_at, c.at
      FROM payments p
      JOIN ledger.entries e ON e.source_key = '{EntryKind.ONE_OFF_CHARGED.prefix}' || p.id
     CROSS JOIN LATERAL (
           SELECT coalesce(p.captured_at, min(t.at)) AS at FROM payment_transitions t
            WHERE t.payment_id = p.id AND t.to_state = '{State.CAPTURED}') c
     WHERE e.effective_at <> c.at""",
            f"""
    SELECT e.source_key, e.effective_at, b.resolved_at
      FROM breaks b
      JOIN ledger.entries e ON e.source_key = '{EntryKind.ADJUSTMENT.prefix}' || b.id
     WHERE e.effective_at <> b.resolved_at""",
            f"""
    SELECT e.source_key, e.effective_at, t.at
      FROM ledger.entries e
      LEFT JOIN payment_transitions t
        ON t.payment_id::text = split_part(e.source_key, ':', 2)
       AND t.cause = 'settlement_declined'
       AND split_part(e.source_key, ':', 3) IN ('', t.evidence ->> 'attempt')
     WHERE e.kind IN ('{EntryKind.CAPTURE_RETURNED}', '{EntryKind.ONE_OFF_RETURNED}')
       AND e.effective_at IS DISTINCT FROM t.at""",
            """
    SELECT e.source_key, e.effective_at, x.at
      FROM fx_events x JOIN ledger.entries e ON e.source_key = x.source_key
     WHERE e.effective_at <> x.at""",
            f"""
    SELECT e.source_key, e.effective_at, NULL
      FROM ledger.entries e
     WHERE e.kind IN ('{EntryKind.REVENUE_RECOGNIZED}', '{EntryKind.RECOGNITION_TAKEN_BACK}')
       AND split_part(e.source_key, ':', 3)
           <> to_char(e.effective_at AT TIME ZONE 'UTC', 'YYYYMMDD"T"HH24MISS.US"Z"')""",
        )
    ),
    "source_key",
)

AT_THEIR_INSTANTS: Final = (_AT_ITS_INSTANT,)
