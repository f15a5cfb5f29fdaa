"""Invoices are counted by kind without reading them.

Revision ID: 0054
Revises: 0053
"""

from alembic import op

revision = "0054"
down_revision = "0053"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.execute("CREATE INDEX invoices_kinds ON invoices (kind)")


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
