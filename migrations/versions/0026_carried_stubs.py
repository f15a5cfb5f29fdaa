"""What a stub owes below the least that can be charged is carried to the next invoice.

Revision ID: 0026
Revises: 0025
"""

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.execute(
        "ALTER TABLE subscriptions"
        " ADD COLUMN carried bigint NOT NULL DEFAULT 0 CHECK (carried >= 0)"
    )


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
