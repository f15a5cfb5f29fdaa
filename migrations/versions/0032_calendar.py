"""Periods may begin in a month of the year, or on a day of the week.

Revision ID: 0032
Revises: 0031
"""

from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels: str | None = None
depends_on: str | None = None

ANCHORS = """
ALTER TABLE subscriptions
  ADD COLUMN anchor_month smallint CHECK (anchor_month BETWEEN 1 AND 12),
  ADD COLUMN anchor_weekday smallint CHECK (anchor_weekday BETWEEN 1 AND 7),
  ADD CONSTRAINT subscriptions_anchored_once CHECK (
    (anchor_month IS NULL OR anchor_day IS NOT NULL)
    AND (anchor_weekday IS NULL OR anchor_day IS NULL));
"""


def upgrade() -> None:
    op.execute(ANCHORS)


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
