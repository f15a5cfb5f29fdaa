"""When a payment method was changed or given again: what it was declined for before counts no more.

Revision ID: 0037
Revises: 0036
"""

from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.execute("ALTER TABLE payment_methods ADD COLUMN changed_at timestamptz")


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
