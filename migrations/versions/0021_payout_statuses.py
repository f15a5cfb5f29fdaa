"""A payout's status is a neutral word; words of the provider's that are none of them are unknown.

Revision ID: 0021
Revises: 0020
"""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels: str | None = None
depends_on: str | None = None

KNOWN = "('pending', 'in_transit', 'paid', 'failed', 'canceled')"


def upgrade() -> None:
    op.execute(f"UPDATE payouts SET status = 'unknown' WHERE status NOT IN {KNOWN}")
    op.execute(
        "ALTER TABLE payouts ADD CONSTRAINT payouts_status"
        f" CHECK (status IN {KNOWN} OR status = 'unknown')"
    )


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
