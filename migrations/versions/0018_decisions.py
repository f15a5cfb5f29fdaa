"""Decisions on payments, events of subscriptions and reasons to park are kinds with facts.

What was written before stays as it was written: a sentence in `decision`, `words` or
`parked_error`.

Revision ID: 0018
Revises: 0017
"""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels: str | None = None
depends_on: str | None = None

DECISIONS = """
ALTER TABLE payments ADD COLUMN decision_facts jsonb NOT NULL DEFAULT '{}';
ALTER TABLE attempts ADD COLUMN decision_facts jsonb NOT NULL DEFAULT '{}';
ALTER TABLE subscription_events ALTER COLUMN words DROP NOT NULL;
ALTER TABLE subscriptions
  ADD COLUMN parked_facts jsonb NOT NULL DEFAULT '{}',
  DROP CONSTRAINT subscriptions_parked_with_error;
"""


def upgrade() -> None:
    op.execute(DECISIONS)


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
