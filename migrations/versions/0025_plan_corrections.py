"""A published version that nothing uses yet can be corrected or taken out.

What was published stays; a correction is a row of its own, the last one holds.

Revision ID: 0025
Revises: 0024
"""

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels: str | None = None
depends_on: str | None = None

CORRECTIONS = """
CREATE TABLE plan_corrections (
  plan          text NOT NULL,
  effective     date NOT NULL,
  n             integer NOT NULL CHECK (n >= 1),
  terms         jsonb,
  digest        text CHECK (digest ~ '^[0-9a-f]{64}$'),
  corrected_at  timestamptz NOT NULL,
  PRIMARY KEY (plan, effective, n),
  FOREIGN KEY (plan, effective) REFERENCES plan_versions (plan, effective),
  CONSTRAINT plan_corrections_with_digest CHECK ((terms IS NULL) = (digest IS NULL))
);

CREATE FUNCTION guard_plan_correction() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF EXISTS (SELECT FROM public.cycles
              WHERE plan = NEW.plan AND plan_version = NEW.effective)
     OR EXISTS (SELECT FROM public.subscriptions
                 WHERE plan = NEW.plan AND plan_version = NEW.effective) THEN
    RAISE EXCEPTION 'the version of % of % is in use and can''t be corrected',
      NEW.effective, NEW.plan USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER guard BEFORE INSERT ON plan_corrections
  FOR EACH ROW EXECUTE FUNCTION guard_plan_correction();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON plan_corrections
  FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON plan_corrections
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE plan_corrections ENABLE ALWAYS TRIGGER guard;
ALTER TABLE plan_corrections ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE plan_corrections ENABLE ALWAYS TRIGGER no_truncate;
GRANT SELECT, INSERT ON plan_corrections TO billing_app;
"""


def upgrade() -> None:
    op.execute(CORRECTIONS)


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
