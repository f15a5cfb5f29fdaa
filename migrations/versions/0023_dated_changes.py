"""Pauses, resumptions and cancellations are rows with the instant from which they hold.

A subscription that is to end has that instant (`cancels_at`) in place of a mark.

Revision ID: 0023
Revises: 0022
"""

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels: str | None = None
depends_on: str | None = None

CHANGES = """
CREATE TABLE subscription_changes (
  id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  subscription_id  uuid NOT NULL REFERENCES subscriptions,
  kind             text NOT NULL CHECK (kind IN ('pause', 'resume', 'cancel', 'keep', 'end')),
  holds_from       timestamptz NOT NULL,
  asked_at         timestamptz NOT NULL,
  actor            text NOT NULL,
  why              text NOT NULL,
  month            date NOT NULL DEFAULT (date_trunc('month', now() AT TIME ZONE 'UTC'))::date
);
CREATE INDEX subscription_changes_subscription ON subscription_changes (subscription_id, id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON subscription_changes
  FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON subscription_changes
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE subscription_changes ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE subscription_changes ENABLE ALWAYS TRIGGER no_truncate;
GRANT SELECT, INSERT ON subscription_changes TO billing_app;
GRANT USAGE ON SEQUENCE subscription_changes_id_seq TO billing_app;
"""

# Until now a pause held from the next period to be opened, whenever that began. An instant less
# than its start keeps that. A pause behind a debt that was given up was forgotten: its last event
# tells.
PAUSES = """
INSERT INTO subscription_changes (subscription_id, kind, holds_from, asked_at, actor, why)
SELECT s.id, 'pause',
       CASE WHEN s.status = 'paused' THEN least(e.at, s.renews_at - interval '1 microsecond')
            ELSE e.at END,
       e.at, e.actor, 'paused before changes had dates'
  FROM subscriptions s
  CROSS JOIN LATERAL (
       SELECT v.kind, v.at, v.actor FROM subscription_events v
        WHERE v.subscription_id = s.id AND v.kind IN ('paused', 'resumed')
        ORDER BY v.id DESC LIMIT 1) e
 WHERE s.status IN ('paused', 'unpaid') AND e.kind = 'paused';

INSERT INTO subscription_changes (subscription_id, kind, holds_from, asked_at, actor, why)
SELECT s.id, 'pause', s.renews_at - interval '1 microsecond', s.created_at, 'system',
       'paused before changes had dates'
  FROM subscriptions s
 WHERE s.status = 'paused'
   AND NOT EXISTS (SELECT FROM subscription_changes c WHERE c.subscription_id = s.id);
"""

ENDS = """
ALTER TABLE subscriptions ADD COLUMN cancels_at timestamptz;
UPDATE subscriptions s
   SET cancels_at = coalesce(s.renews_at, s.canceled_at,
       (SELECT max(c.period_end) FROM cycles c WHERE c.subscription_id = s.id))
 WHERE s.cancel_at_period_end;
ALTER TABLE subscriptions DROP COLUMN cancel_at_period_end;
"""


def upgrade() -> None:
    op.execute(CHANGES)
    op.execute(PAUSES)
    op.execute(ENDS)


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
