"""When credit is next looked at for its expiry; what a grant is, stays.

A grant that a customer can't use any more is looked at once: at its expiry, and again where an
invoice that is voided gives credit back after it.

Revision ID: 0045
Revises: 0044
"""

from alembic import op

revision = "0045"
down_revision = "0044"
branch_labels: str | None = None
depends_on: str | None = None

GRANTS = """
ALTER TABLE credit_grants
  ADD COLUMN expiry_due_at timestamptz,
  ADD CONSTRAINT credit_grants_not_in_the_past
    CHECK (effective_at >= created_at AND expires_at > created_at);

DROP TRIGGER append_only ON credit_grants;
UPDATE credit_grants SET expiry_due_at = expires_at;

CREATE FUNCTION guard_credit_grant() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'credit grant % can''t be deleted', OLD.id USING ERRCODE = 'restrict_violation';
  END IF;
  IF to_jsonb(NEW) - 'expiry_due_at' <> to_jsonb(OLD) - 'expiry_due_at' THEN
    RAISE EXCEPTION 'credit grant %: only when it is next looked at may change', OLD.id
      USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER guard BEFORE UPDATE OR DELETE ON credit_grants
  FOR EACH ROW EXECUTE FUNCTION guard_credit_grant();
ALTER TABLE credit_grants ENABLE ALWAYS TRIGGER guard;

CREATE INDEX credit_grants_expiry_due ON credit_grants (expiry_due_at)
  WHERE expiry_due_at IS NOT NULL;
GRANT INSERT (expiry_due_at), UPDATE (expiry_due_at) ON credit_grants TO billing_app;
"""


def upgrade() -> None:
    op.execute(GRANTS)


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
