"""A subscription whose first period hasn't begun has a status of its own.

Revision ID: 0027
Revises: 0026
"""

from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels: str | None = None
depends_on: str | None = None

SCHEDULED = """
ALTER TABLE subscriptions
  DROP CONSTRAINT subscriptions_status_check,
  ADD CONSTRAINT subscriptions_status_check CHECK (status IN
    ('scheduled', 'trialing', 'active', 'past_due', 'unpaid', 'paused', 'canceled'));
UPDATE subscriptions SET status = 'scheduled'
 WHERE status IN ('trialing', 'active') AND next_n = 0
   AND renews_at > coalesce((SELECT c.now FROM test_clock c), now());
"""


def upgrade() -> None:
    op.execute(SCHEDULED)


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
