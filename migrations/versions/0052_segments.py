"""A subscription's cadence, billing day and zone may change: each segment has a schedule.

A segment begins with a cycle, and is a row from then on. A subscription has the schedule of its
last one, and those that are to come, which follow from its changes. The first segment becomes a row
once another one begins.

Revision ID: 0052
Revises: 0051
"""

from alembic import op

revision = "0052"
down_revision = "0051"
branch_labels: str | None = None
depends_on: str | None = None

SEGMENTS = """
CREATE TABLE segments (
  subscription_id  uuid NOT NULL REFERENCES subscriptions,
  from_n           integer NOT NULL CHECK (from_n >= 0),
  starts_at        timestamptz,
  anchor_local     timestamp NOT NULL,
  zone             text NOT NULL,
  every            text NOT NULL,
  trial            text,
  anchor_day       smallint CHECK (anchor_day BETWEEN 1 AND 31),
  anchor_month     smallint CHECK (anchor_month BETWEEN 1 AND 12),
  anchor_weekday   smallint CHECK (anchor_weekday BETWEEN 1 AND 7),
  month_day        smallint CHECK (month_day BETWEEN 29 AND 31),
  PRIMARY KEY (subscription_id, from_n),
  CONSTRAINT segments_begin_with_a_cycle FOREIGN KEY (subscription_id, from_n)
    REFERENCES cycles (subscription_id, n),
  CONSTRAINT segments_later_ones_have_a_start CHECK (from_n = 0 OR starts_at IS NOT NULL),
  CONSTRAINT segments_trial_is_first CHECK (from_n = 0 OR trial IS NULL),
  CONSTRAINT segments_anchored_once CHECK (
    (anchor_month IS NULL OR anchor_day IS NOT NULL)
    AND (anchor_weekday IS NULL OR anchor_day IS NULL)
    AND (month_day IS NULL OR (anchor_day IS NULL AND anchor_weekday IS NULL)))
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON segments
  FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON segments
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE segments ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE segments ENABLE ALWAYS TRIGGER no_truncate;
GRANT SELECT, INSERT ON segments TO billing_app;
"""

SUBSCRIPTIONS = """
ALTER TABLE subscriptions
  ADD COLUMN month_day smallint CHECK (month_day BETWEEN 29 AND 31),
  ADD COLUMN segment_from_n integer NOT NULL DEFAULT 0 CHECK (segment_from_n >= 0),
  ADD COLUMN segment_starts_at timestamptz,
  ADD COLUMN segments_to_come jsonb
    CONSTRAINT subscriptions_segments_are_a_list CHECK (jsonb_typeof(segments_to_come) = 'array'),
  ADD CONSTRAINT subscriptions_later_segments_have_a_start
    CHECK (segment_from_n = 0 OR segment_starts_at IS NOT NULL),
  ADD CONSTRAINT subscriptions_segment_has_begun CHECK (segment_from_n <= next_n);
"""

CHANGES = """
ALTER TABLE subscription_changes
  DROP CONSTRAINT subscription_changes_kind_check,
  ADD CONSTRAINT subscription_changes_kind_check CHECK (kind IN (
    'pause', 'resume', 'cancel', 'keep', 'end', 'reanchor', 'unpaid', 'paid',
    'held', 'quantity', 'plan', 'schedule', 'withdraw')),
  DROP CONSTRAINT subscription_changes_have_ids,
  ADD CONSTRAINT subscription_changes_have_ids
    CHECK ((kind IN ('quantity', 'plan', 'schedule', 'withdraw')) = (change_id IS NOT NULL)),
  DROP CONSTRAINT subscription_changes_apply,
  ADD CONSTRAINT subscription_changes_apply
    CHECK ((kind IN ('quantity', 'plan', 'schedule')) = (applies IS NOT NULL)
           AND coalesce(applies IN ('now', 'period_end'), true));

CREATE OR REPLACE FUNCTION check_withdrawal() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM public.subscription_changes c
                  WHERE c.change_id = NEW.withdraws AND c.kind IN ('quantity', 'plan', 'schedule')
                    AND c.applies = 'period_end' AND c.holds_from > NEW.asked_at) THEN
    RAISE EXCEPTION 'change % holds already: it can''t be withdrawn', NEW.withdraws
      USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END
$$;
"""


def upgrade() -> None:
    op.execute(SEGMENTS)
    op.execute(SUBSCRIPTIONS)
    op.execute(CHANGES)


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
