"""What other engines moved on an account is added up from an index, for the tie-out.

Revision ID: 0020
Revises: 0019
"""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.execute(
        "CREATE INDEX settlement_rows_other_engine"
        " ON settlement_rows (provider, currency) INCLUDE (net)"
        " WHERE outcome = 'other_engine'"
    )


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
