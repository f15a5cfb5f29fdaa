"""A subscription keeps what brought its end about; a payment when its ladder ends.

That the rules of a zone changed is recorded as a change of a subscription.

Revision ID: 0024
Revises: 0023
"""

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels: str | None = None
depends_on: str | None = None

# A payment in dunning whose ladder began before this is given up as before: one rung after the
# other. Its first decline gives it its end, where it has one more.
ENDS = """
ALTER TABLE subscriptions
  ADD COLUMN ended_by text CHECK (ended_by IN ('operator', 'period_end', 'ladder'));
ALTER TABLE payments ADD COLUMN ladder_ends_at timestamptz;
ALTER TABLE subscription_changes
  DROP CONSTRAINT subscription_changes_kind_check,
  ADD CONSTRAINT subscription_changes_kind_check CHECK (kind IN (
    'pause', 'resume', 'cancel', 'keep', 'end', 'reanchor'));
"""


def upgrade() -> None:
    op.execute(ENDS)


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
