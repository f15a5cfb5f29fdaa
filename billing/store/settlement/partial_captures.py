"""Charges that the provider books whole, and then reverses by what was not captured of them."""
# ruff: noqa: S608  statements are put together from constants

from typing import Final

from billing.rules.reconciliation import BreakKind, MovementKind, RowOutcome
from billing.store.settlement.row_sql import PAYMENT, RANGE, SHOWN, TO_CAPTURE

_REVERSED: Final = f"""(SELECT coalesce(sum(coalesce(v.customer_amount, v.amount)), 0)
                FROM settlement_rows v
               WHERE v.provider = r.provider
                 AND v.provider_payment_id = p.provider_payment_id
                 AND v.kind = '{MovementKind.CAPTURE_REVERSAL}'
                 AND v.outcome IS DISTINCT FROM '{RowOutcome.RESOLVED}'
                 AND coalesce(v.customer_currency, v.currency) = p.currency)"""
_CHARGED: Final = f"""(SELECT coalesce(sum(coalesce(c.customer_amount, c.amount)), p.amount)
                FROM settlement_rows c
               WHERE c.provider = r.provider
                 AND c.provider_payment_id = p.provider_payment_id
                 AND c.kind = '{MovementKind.CHARGE}'
                 AND c.provider_charge_id IS NOT DISTINCT FROM
                     coalesce(p.provider_charge_id, c.provider_charge_id))"""
# What was not captured of a payment `p` of a row `r`; most payments are captured whole.
REVERSED_OF_PARTIAL: Final = f"""CASE
                WHEN {TO_CAPTURE} < p.amount THEN {_REVERSED} ELSE 0 END"""

# The charge that was booked whole, less what was not captured of it, is what was captured.
REVERSALS: Final = f"""
    SELECT l.provider_transaction_id, l.payment_id,
           CASE
             WHEN l.payment_id IS NULL AND l.created > :young_after THEN '{RowOutcome.WAITING}'
             WHEN l.payment_id IS NULL THEN '{BreakKind.UNKNOWN_AT_PROVIDER}'
             WHEN l.shown_in <> l.own_currency THEN '{BreakKind.CURRENCY_MISMATCH}'
             WHEN l.charged + l.reversed = l.own_amount THEN '{RowOutcome.MATCHED}'
             WHEN l.created > :young_after THEN '{RowOutcome.WAITING}'
             ELSE '{BreakKind.AMOUNT_MISMATCH}'
           END AS outcome
      FROM (
      SELECT r.provider_transaction_id, r.created, {SHOWN}, p.id AS payment_id,
             p.currency AS own_currency, {TO_CAPTURE} AS own_amount,
             {_REVERSED} AS reversed, {_CHARGED} AS charged
        FROM settlement_rows r
        LEFT JOIN LATERAL {PAYMENT} p ON true
       WHERE {RANGE} AND r.kind = '{MovementKind.CAPTURE_REVERSAL}') l
    """
