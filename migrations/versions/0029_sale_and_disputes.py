"""A plan says whether a customer has it once, and what becomes of it after a lost dispute.

Revision ID: 0029
Revises: 0028
"""

from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels: str | None = None
depends_on: str | None = None

POLICIES = """
ALTER TABLE plans
  ADD COLUMN one_per_customer boolean NOT NULL DEFAULT false,
  ADD COLUMN trial_once boolean NOT NULL DEFAULT false,
  ADD COLUMN on_dispute text NOT NULL DEFAULT 'continue'
    CHECK (on_dispute IN ('continue', 'pause', 'cancel'));
ALTER TABLE subscriptions
  DROP CONSTRAINT subscriptions_ended_by_check,
  ADD CONSTRAINT subscriptions_ended_by_check
    CHECK (ended_by IN ('operator', 'period_end', 'ladder', 'dispute'));
"""


def upgrade() -> None:
    op.execute(POLICIES)


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
