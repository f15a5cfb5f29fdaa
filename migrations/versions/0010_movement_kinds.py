"""A settlement row says in a neutral word what sort of movement it is.

The provider's own word stays beside it, for people. Rows of before are all of one kind of provider.

Revision ID: 0010
Revises: 0009
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels: str | None = None
depends_on: str | None = None

# The categories that were read until now and are no kind of the same name.
KIND = """
CASE category
  WHEN 'partial_capture_reversal' THEN 'refund'
  WHEN 'payout_reversal' THEN 'payout_failure'
  WHEN 'network_cost' THEN 'fee'
  WHEN 'tax' THEN 'fee'
  WHEN 'currency_conversion' THEN 'conversion'
  WHEN 'other_adjustment' THEN 'adjustment'
  WHEN 'charge' THEN 'charge'
  WHEN 'refund' THEN 'refund'
  WHEN 'refund_failure' THEN 'refund_failure'
  WHEN 'dispute' THEN 'dispute'
  WHEN 'dispute_reversal' THEN 'dispute_reversal'
  WHEN 'payout' THEN 'payout'
  WHEN 'fee' THEN 'fee'
  ELSE 'other'
END
"""
KINDS = """
ALTER TABLE settlement_rows
  ALTER COLUMN kind SET NOT NULL,
  ADD CONSTRAINT settlement_rows_kind CHECK (kind IN
    ('charge', 'refund', 'refund_failure', 'dispute', 'dispute_reversal', 'payout',
     'payout_failure', 'fee', 'conversion', 'adjustment', 'other'));
DROP INDEX settlement_rows_source;
CREATE INDEX settlement_rows_source ON settlement_rows (source_id) WHERE kind <> 'charge';
"""


def upgrade() -> None:
    op.execute("ALTER TABLE settlement_rows ADD COLUMN kind text")
    op.execute(f"UPDATE settlement_rows SET kind = {KIND}")
    op.execute("SET CONSTRAINTS ALL IMMEDIATE")  # else ALTER TABLE finds checks to come
    op.execute(KINDS)


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
