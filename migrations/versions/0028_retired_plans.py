"""A plan has a day from which nobody subscribes to it any more.

Revision ID: 0028
Revises: 0027
"""

from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.execute("ALTER TABLE plans ADD COLUMN retired date")


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
