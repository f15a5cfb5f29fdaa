"""What was not captured of a charge that the provider booked whole is a kind of its own.

Rows of before that are matched stay refunds; those that aren't are judged again.

Revision ID: 0033
Revises: 0032
"""

from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels: str | None = None
depends_on: str | None = None

KINDS = """
ALTER TABLE settlement_rows DROP CONSTRAINT settlement_rows_kind;
ALTER TABLE settlement_rows ADD CONSTRAINT settlement_rows_kind CHECK (kind IN
    ('charge', 'capture_reversal', 'refund', 'refund_failure', 'dispute', 'dispute_reversal',
     'payout', 'payout_failure', 'fee', 'conversion', 'adjustment', 'other'))
"""


def upgrade() -> None:
    op.execute("SET CONSTRAINTS ALL IMMEDIATE")  # else ALTER TABLE finds checks to come
    op.execute(KINDS)
    op.execute(
        "UPDATE settlement_rows SET kind = 'capture_reversal'"
        " WHERE category = 'partial_capture_reversal' AND matched_at IS NULL"
    )


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
