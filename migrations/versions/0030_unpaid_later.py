"""A subscription becomes unpaid once what was paid for is served.

Revision ID: 0030
Revises: 0029
"""

from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels: str | None = None
depends_on: str | None = None

KINDS = """
ALTER TABLE subscription_changes
  DROP CONSTRAINT subscription_changes_kind_check,
  ADD CONSTRAINT subscription_changes_kind_check CHECK (kind IN (
    'pause', 'resume', 'cancel', 'keep', 'end', 'reanchor', 'unpaid', 'paid'));
"""


def upgrade() -> None:
    op.execute(KINDS)


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
