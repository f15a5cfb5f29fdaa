"""Calls to the provider are known by their subject, kind and number; they need no id of their own.

Revision ID: 0012
Revises: 0011
"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels: str | None = None
depends_on: str | None = None

BY_NUMBER = """
ALTER TABLE provider_calls
  DROP COLUMN id,
  DROP CONSTRAINT provider_calls_once,
  ADD CONSTRAINT provider_calls_pkey PRIMARY KEY (subject_id, kind, n);

CREATE OR REPLACE FUNCTION guard_provider_call() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'call % can''t be deleted', OLD.idempotency_key
      USING ERRCODE = 'restrict_violation';
  END IF;
  IF OLD.finished_at IS NOT NULL THEN
    RAISE EXCEPTION 'call % is finished and can''t change', OLD.idempotency_key
      USING ERRCODE = 'restrict_violation';
  END IF;
  IF (NEW.subject_id, NEW.kind, NEW.n, NEW.customer_id,
      NEW.idempotency_key, NEW.request, NEW.first_sent_at)
     IS DISTINCT FROM
     (OLD.subject_id, OLD.kind, OLD.n, OLD.customer_id,
      OLD.idempotency_key, OLD.request, OLD.first_sent_at) THEN
    RAISE EXCEPTION 'call %: what was sent can''t change', OLD.idempotency_key
      USING ERRCODE = 'restrict_violation';
  END IF;
  IF NEW.sends < OLD.sends OR NEW.answered < OLD.answered THEN
    RAISE EXCEPTION 'call %: sends are counted forward', OLD.idempotency_key
      USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END
$$;
"""


def upgrade() -> None:
    op.execute(BY_NUMBER)


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
