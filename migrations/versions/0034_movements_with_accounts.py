"""Reserves and contributions are kinds of movements; what waits for a decision is judged again.

Revision ID: 0034
Revises: 0033
"""

from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels: str | None = None
depends_on: str | None = None

KINDS = """
ALTER TABLE settlement_rows DROP CONSTRAINT settlement_rows_kind;
ALTER TABLE settlement_rows ADD CONSTRAINT settlement_rows_kind CHECK (kind IN
    ('charge', 'capture_reversal', 'refund', 'refund_failure', 'dispute', 'dispute_reversal',
     'payout', 'payout_failure', 'fee', 'reserve', 'contribution', 'conversion', 'adjustment',
     'other'))
"""
# The categories that were of no known kind until now.
KIND = """
CASE
  WHEN category IN ('contribution', 'climate_order_purchase', 'climate_order_refund')
    THEN 'contribution'
  WHEN category IN ('risk_reserved_funds', 'connect_reserved_funds', 'reserved_funds',
                    'reserve_transaction', 'reserve_hold', 'reserve_release',
                    'payout_minimum_balance_hold', 'payout_minimum_balance_release',
                    'minimum_balance_hold', 'minimum_balance_release') THEN 'reserve'
  ELSE kind
END
"""


def upgrade() -> None:
    op.execute("SET CONSTRAINTS ALL IMMEDIATE")  # else ALTER TABLE finds checks to come
    op.execute(KINDS)
    op.execute(
        f"UPDATE settlement_rows SET kind = {KIND} WHERE kind = 'other' AND matched_at IS NULL"
    )


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
