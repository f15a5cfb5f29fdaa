"""A plan has a day from which nobody subscribes to it any more.

Revision ID: 0029
Revises: 0028
"""

from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.execute("ALTER TABLE plans ADD COLUMN retired date")


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
