"""When a payment method was changed or given again: what it was declined for before counts no more.

Revision ID: 0038
Revises: 0037
"""

from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.execute("ALTER TABLE payment_methods ADD COLUMN changed_at timestamptz")


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
