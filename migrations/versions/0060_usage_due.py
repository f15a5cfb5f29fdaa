"""Subscriptions with meters are billed a little later, and once more after their end.

What is used until a period's end arrives a little after it, so the next cycle is opened, and its
invoice issued, a while after its period began. What was used last is billed after the end. What
got cheaper by usage that came late is given back.

Revision ID: 0060
Revises: 0059
"""

from alembic import op

revision = "0060"
down_revision = "0059"
branch_labels: str | None = None
depends_on: str | None = None

# Who ends with a period ends on time. Adding an interval to an instant depends on the session's zone
# in general; that of seconds, in UTC, doesn't.
SUBSCRIPTIONS = """
ALTER TABLE subscriptions
  ADD COLUMN usage_from_n integer CHECK (usage_from_n >= 0),
  ADD COLUMN usage_wait_seconds integer NOT NULL DEFAULT 0 CHECK (usage_wait_seconds >= 0),
  ADD COLUMN opens_at timestamptz GENERATED ALWAYS AS (
    ((renews_at AT TIME ZONE 'UTC') + make_interval(
      secs => CASE WHEN cancels_at <= renews_at THEN 0 ELSE usage_wait_seconds END
    )) AT TIME ZONE 'UTC') STORED,
  ADD COLUMN usage_due_at timestamptz,
  ADD CONSTRAINT subscriptions_bill_usage_that_was CHECK (usage_from_n <= next_n),
  ADD CONSTRAINT subscriptions_wait_for_usage
    CHECK (usage_wait_seconds = 0 OR usage_from_n IS NOT NULL),
  ADD CONSTRAINT subscriptions_usage_is_due
    CHECK (usage_due_at IS NULL OR usage_from_n IS NOT NULL);
DROP INDEX subscriptions_due;
CREATE INDEX subscriptions_due ON subscriptions (opens_at)
  WHERE parked_at IS NULL AND opens_at IS NOT NULL;
CREATE INDEX subscriptions_usage_due ON subscriptions (usage_due_at)
  WHERE parked_at IS NULL AND usage_due_at IS NOT NULL;
"""


def upgrade() -> None:
    op.execute(SUBSCRIPTIONS)


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
