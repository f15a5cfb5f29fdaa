"""A charge's sends are a row of `provider_calls`, as captures' and voids' are.

An attempt keeps what it was and what it came to. Its key, its request and its sends move to the
call of the same number as they are: an attempt that is open is sent again as the same request.

Revision ID: 0013
Revises: 0012
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels: str | None = None
depends_on: str | None = None

# `last_error` was emptied before each send, so it tells whether the last one was answered.
MOVE = """
INSERT INTO provider_calls (subject_id, kind, n, customer_id, provider, idempotency_key, request,
                            first_sent_at, sends, answered, unknown_since, error_class,
                            error_message, finished_at, outcome, provider_request_id)
SELECT a.payment_id, 'charge', a.n, a.customer_id, p.provider, a.idempotency_key, a.request,
       a.first_sent_at, a.sends,
       CASE WHEN a.last_error IS NULL AND a.finished_at IS NULL THEN a.sends - 1 ELSE a.sends END,
       a.unknown_since,
       split_part(a.last_error, ': ', 1),
       substr(a.last_error, length(split_part(a.last_error, ': ', 1)) + 3),
       a.finished_at, a.outcome, a.provider_request_id
  FROM attempts a JOIN payments p ON p.id = a.payment_id;
"""

LEAVE = """
DROP INDEX attempts_one_open;
ALTER TABLE attempts
  DROP COLUMN idempotency_key,
  DROP COLUMN request,
  DROP COLUMN first_sent_at,
  DROP COLUMN sends,
  DROP COLUMN unknown_since,
  DROP COLUMN last_error,
  DROP COLUMN provider_request_id;

CREATE OR REPLACE FUNCTION guard_attempt() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'attempt % of payment % can''t be deleted', OLD.n, OLD.payment_id
      USING ERRCODE = 'restrict_violation';
  END IF;
  IF OLD.finished_at IS NOT NULL THEN
    RAISE EXCEPTION 'attempt % of payment % is finished and can''t change', OLD.n, OLD.payment_id
      USING ERRCODE = 'restrict_violation';
  END IF;
  IF (NEW.payment_id, NEW.n, NEW.kind, NEW.payment_method_id, NEW.rung)
     IS DISTINCT FROM
     (OLD.payment_id, OLD.n, OLD.kind, OLD.payment_method_id, OLD.rung) THEN
    RAISE EXCEPTION 'attempt % of payment %: what was tried can''t change', OLD.n, OLD.payment_id
      USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END
$$;
"""


def upgrade() -> None:
    op.execute(MOVE)
    op.execute(LEAVE)


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
