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


# What ended before: its last event tells by whom. Without one, nothing is known.
ENDED_BEFORE = """
UPDATE subscriptions s
   SET ended_by = CASE WHEN e.actor LIKE 'worker%' THEN 'ladder'
                       WHEN e.actor LIKE 'scheduler%' THEN 'period_end'
                       ELSE 'operator' END
  FROM (SELECT DISTINCT ON (subscription_id) subscription_id, actor
          FROM subscription_events WHERE kind = 'canceled'
         ORDER BY subscription_id, id DESC) e
 WHERE s.id = e.subscription_id AND s.status = 'canceled';
UPDATE subscriptions SET ended_by = 'period_end'
 WHERE status <> 'canceled' AND cancels_at IS NOT NULL;
"""


def upgrade() -> None:
    op.execute(ENDS)
    op.execute(ENDED_BEFORE)


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
