"""A change at once may cut the cycle that runs: the next one begins where it is cut.

A cycle that is paid is closed the night after, and never changes: so a cut is a row of its own. A
cycle follows its neighbour's end, or its cut, so the chain can hold neither a gap nor an overlap.

Revision ID: 0053
Revises: 0052
"""

from alembic import op

revision = "0053"
down_revision = "0052"
branch_labels: str | None = None
depends_on: str | None = None

CUTS = """
CREATE TABLE cycle_cuts (
  subscription_id  uuid NOT NULL,
  n                integer NOT NULL,
  cut_at           timestamptz NOT NULL,
  change_id        uuid NOT NULL UNIQUE,
  PRIMARY KEY (subscription_id, n),
  CONSTRAINT cycle_cuts_number_and_end UNIQUE (subscription_id, n, cut_at),
  CONSTRAINT cycle_cuts_of_a_cycle FOREIGN KEY (subscription_id, n)
    REFERENCES cycles (subscription_id, n),
  CONSTRAINT cycle_cuts_of_a_change FOREIGN KEY (subscription_id, change_id)
    REFERENCES subscription_changes (subscription_id, change_id)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON cycle_cuts
  FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON cycle_cuts
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE FUNCTION check_cut() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM public.cycles c
                  WHERE c.subscription_id = NEW.subscription_id AND c.n = NEW.n
                    AND c.period_start < NEW.cut_at AND NEW.cut_at < c.period_end) THEN
    RAISE EXCEPTION 'cycle % of subscription % is cut inside its period', NEW.n, NEW.subscription_id
      USING ERRCODE = 'check_violation';
  END IF;
  IF EXISTS (SELECT FROM public.cycles c
              WHERE c.subscription_id = NEW.subscription_id AND c.n = NEW.n + 1) THEN
    RAISE EXCEPTION 'cycle % of subscription % is followed by another one: it can''t be cut',
      NEW.n, NEW.subscription_id USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER check_cut BEFORE INSERT ON cycle_cuts
  FOR EACH ROW EXECUTE FUNCTION check_cut();

-- With a cut comes the cycle that begins there, in the same transaction. No other one can follow.
CREATE FUNCTION check_cut_is_followed() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM public.cycles c
                  WHERE c.subscription_id = NEW.subscription_id AND c.n = NEW.n + 1
                    AND c.after_cut) THEN
    RAISE EXCEPTION 'cycle % of subscription % is cut, and none begins there',
      NEW.n, NEW.subscription_id USING ERRCODE = 'check_violation';
  END IF;
  RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER cut_is_followed AFTER INSERT ON cycle_cuts
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_cut_is_followed();

ALTER TABLE cycle_cuts ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE cycle_cuts ENABLE ALWAYS TRIGGER no_truncate;
ALTER TABLE cycle_cuts ENABLE ALWAYS TRIGGER check_cut;
ALTER TABLE cycle_cuts ENABLE ALWAYS TRIGGER cut_is_followed;
GRANT SELECT, INSERT ON cycle_cuts TO billing_app;
"""

CYCLES = """
ALTER TABLE cycles
  DROP CONSTRAINT cycles_follow_without_gap,
  DROP COLUMN follows_n,
  ADD COLUMN after_cut boolean NOT NULL DEFAULT false,
  ADD COLUMN follows_n integer
    GENERATED ALWAYS AS (CASE WHEN n > 0 AND NOT after_cut THEN n - 1 END) STORED,
  ADD COLUMN follows_cut_n integer
    GENERATED ALWAYS AS (CASE WHEN after_cut THEN n - 1 END) STORED,
  ADD CONSTRAINT cycles_follow_without_gap
    FOREIGN KEY (subscription_id, follows_n, period_start)
    REFERENCES cycles (subscription_id, n, period_end),
  ADD CONSTRAINT cycles_follow_their_cut
    FOREIGN KEY (subscription_id, follows_cut_n, period_start)
    REFERENCES cycle_cuts (subscription_id, n, cut_at),
  ADD CONSTRAINT cycles_first_follows_none CHECK (n > 0 OR NOT after_cut);

CREATE OR REPLACE FUNCTION guard_cycle() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'cycle % of subscription % can''t be deleted', OLD.n, OLD.subscription_id
      USING ERRCODE = 'restrict_violation';
  END IF;
  IF OLD.state = 'closed' THEN
    RAISE EXCEPTION 'cycle % of subscription % is closed and can''t change',
      OLD.n, OLD.subscription_id USING ERRCODE = 'restrict_violation';
  END IF;
  IF (NEW.id, NEW.subscription_id, NEW.n, NEW.kind, NEW.period_start, NEW.period_end, NEW.plan,
      NEW.plan_version, NEW.opened_at, NEW.after_cut)
     IS DISTINCT FROM
     (OLD.id, OLD.subscription_id, OLD.n, OLD.kind, OLD.period_start, OLD.period_end, OLD.plan,
      OLD.plan_version, OLD.opened_at, OLD.after_cut) THEN
    RAISE EXCEPTION 'cycle % of subscription %: only its closing may be written',
      OLD.n, OLD.subscription_id USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END
$$;
"""


def upgrade() -> None:
    op.execute(CUTS)
    op.execute(CYCLES)


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
