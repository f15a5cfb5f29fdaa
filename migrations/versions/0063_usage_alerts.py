"""Usage that passes a part of what its item includes is noted once.

The scheduler looks for it among the subscriptions that usage is counted for; several schedulers, and
one that died, note nothing twice.

Revision ID: 0063
Revises: 0062
"""

from alembic import op

revision = "0063"
down_revision = "0062"
branch_labels: str | None = None
depends_on: str | None = None

ALERTS = """
CREATE UNIQUE INDEX subscription_events_usage_alert ON subscription_events (
  subscription_id, (detail ->> 'meter'), ((detail ->> 'n')::integer),
  ((detail ->> 'segment')::integer), ((detail ->> 'percent')::integer))
  WHERE kind = 'usage_alert';
CREATE INDEX subscriptions_metered ON subscriptions (id) WHERE usage_from_n IS NOT NULL;
"""


def upgrade() -> None:
    op.execute(ALERTS)


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
