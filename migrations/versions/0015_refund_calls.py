"""Refunds are sent as calls: key, request, sends and errors move from the refund to its call.

A refund that was sent keeps the key and the request it was last sent with, in its first call. One
that wasn't gets its call, and its key, when it is sent. When a pending refund was accepted was
not written down: its call ends when it was first sent.

Revision ID: 0015
Revises: 0014
"""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels: str | None = None
depends_on: str | None = None

# An error begins with its class. While a send has no answer, no error stands in the row; an error
# without an unknown outcome says that every send before it was certainly not executed.
CALLS = """
INSERT INTO provider_calls (kind, subject_id, customer_id, provider, n, idempotency_key,
                            request, first_sent_at, sends, answered, unknown_since, error_class,
                            error_message, finished_at, outcome)
SELECT 'refund', r.id, r.customer_id, r.provider, 1,
       r.idempotency_key || CASE WHEN r.key_n > 1 THEN concat(':', 'k', r.key_n) ELSE '' END,
       jsonb_build_object(
         'provider_payment_id', p.provider_payment_id,
         'amount', r.amount,
         'currency', r.currency,
         'metadata', jsonb_build_object('refund', r.id, 'payment', r.payment_id)
           || CASE WHEN r.engine_id IS NULL THEN '{}'::jsonb
                   ELSE jsonb_build_object('engine', r.engine_id) END),
       r.first_sent_at, r.sends,
       CASE WHEN r.state <> 'requested' OR e.error IS NOT NULL THEN r.sends ELSE r.sends - 1 END,
       r.unknown_since, e.error[1], e.error[2],
       CASE WHEN r.state <> 'requested' THEN coalesce(r.finished_at, r.first_sent_at) END,
       CASE WHEN r.state = 'requested' THEN NULL
            WHEN r.provider_refund_id IS NULL THEN 'rejected' ELSE 'succeeded' END
  FROM refunds r
  JOIN payments p ON p.id = r.payment_id
  CROSS JOIN LATERAL (SELECT regexp_match(r.last_error, '^([a-z0-9_]+): (.*)$') AS error) e
 WHERE r.first_sent_at IS NOT NULL AND r.sends > 0;
"""

COLUMNS = """
CREATE OR REPLACE FUNCTION guard_refund() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'refund % can''t be deleted', OLD.id USING ERRCODE = 'restrict_violation';
  END IF;
  IF (NEW.id, NEW.payment_id, NEW.amount, NEW.currency, NEW.recognised, NEW.deferred, NEW.tax,
      NEW.created_at)
     IS DISTINCT FROM
     (OLD.id, OLD.payment_id, OLD.amount, OLD.currency, OLD.recognised, OLD.deferred, OLD.tax,
      OLD.created_at) THEN
    RAISE EXCEPTION 'refund %: what it gives back can''t change', OLD.id
      USING ERRCODE = 'restrict_violation';
  END IF;
  IF NEW.state <> OLD.state AND (OLD.state, NEW.state) NOT IN (
       ('requested', 'pending'), ('requested', 'succeeded'), ('requested', 'failed'),
       ('requested', 'canceled'), ('pending', 'succeeded'), ('pending', 'failed'),
       ('pending', 'canceled'), ('succeeded', 'failed')) THEN
    RAISE EXCEPTION 'refund %: % -> % is no legal transition', OLD.id, OLD.state, NEW.state
      USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END
$$;
ALTER TABLE refunds
  DROP COLUMN idempotency_key, DROP COLUMN key_n, DROP COLUMN first_sent_at, DROP COLUMN sends,
  DROP COLUMN unknown_since, DROP COLUMN last_error;
"""


def upgrade() -> None:
    # The constraint trigger of refunds may have work of this transaction left, which would hold
    # back a change of the table.
    op.execute("SET CONSTRAINTS ALL IMMEDIATE")
    op.execute(CALLS)
    op.execute(COLUMNS)


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
