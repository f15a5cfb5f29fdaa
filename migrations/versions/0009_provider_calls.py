"""Calls to the provider: one row a request, with its key, its sends, and what they came to.

Captures and voids of authorisations had no row of their own; those under way get one, under the
key that they may have been sent with already.

Revision ID: 0009
Revises: 0008
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels: str | None = None
depends_on: str | None = None

CALLS = """
CREATE TABLE provider_calls (
  id                   uuid PRIMARY KEY,
  kind                 text NOT NULL CHECK (kind IN
                         ('charge', 'capture', 'void', 'refund', 'customer', 'payment_method')),
  subject_id           uuid NOT NULL,
  customer_id          uuid NOT NULL,
  n                    integer NOT NULL CHECK (n >= 1),
  idempotency_key      text NOT NULL CHECK (length(idempotency_key) BETWEEN 1 AND 255),
  request              jsonb NOT NULL,
  first_sent_at        timestamptz NOT NULL,
  sends                integer NOT NULL DEFAULT 1 CHECK (sends >= 1),
  answered             integer NOT NULL DEFAULT 0,
  unknown_since        timestamptz,
  error_class          text,
  error_message        text,
  finished_at          timestamptz,
  outcome              text CHECK (outcome IN
                         ('succeeded', 'declined', 'action_required', 'rejected', 'absent')),
  provider_request_id  text,
  CONSTRAINT provider_calls_once
    UNIQUE (subject_id, kind, n),
  CONSTRAINT provider_calls_own_key
    UNIQUE (idempotency_key),
  CONSTRAINT provider_calls_answered_were_sent
    CHECK (answered BETWEEN 0 AND sends),
  CONSTRAINT provider_calls_finished_with_outcome
    CHECK ((finished_at IS NULL) = (outcome IS NULL))
);
CREATE UNIQUE INDEX provider_calls_one_open ON provider_calls (subject_id, kind)
  WHERE finished_at IS NULL;

-- What was sent under a key is sent again as it was; what is known of it is not forgotten.
CREATE FUNCTION guard_provider_call() RETURNS trigger
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
  IF (NEW.id, NEW.kind, NEW.subject_id, NEW.customer_id, NEW.n,
      NEW.idempotency_key, NEW.request, NEW.first_sent_at)
     IS DISTINCT FROM
     (OLD.id, OLD.kind, OLD.subject_id, OLD.customer_id, OLD.n,
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
CREATE TRIGGER guard BEFORE UPDATE OR DELETE ON provider_calls
  FOR EACH ROW EXECUTE FUNCTION guard_provider_call();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON provider_calls
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE provider_calls ENABLE ALWAYS TRIGGER guard;
ALTER TABLE provider_calls ENABLE ALWAYS TRIGGER no_truncate;
GRANT SELECT, INSERT, UPDATE ON provider_calls TO billing_app;
"""

# Held back is what was dispatched, or was about to be sent by whoever asked for it: the provider
# may have seen it, under the key that followed from its instant and amount. The mode stands at the
# beginning of the keys of the payment's attempts.
UNDER_WAY = """
INSERT INTO provider_calls (id, kind, subject_id, customer_id, n, idempotency_key, request,
                            first_sent_at)
SELECT gen_random_uuid(), p.next_attempt_kind, p.id, p.customer_id, 1,
       split_part(a.idempotency_key, ':', 1) || ':payment:' || p.id || ':' || p.next_attempt_kind
         || ':' || round(extract(epoch FROM p.next_attempt_at)::double precision)::bigint
         || ':' || coalesce(p.capture_amount, p.amount),
       jsonb_build_object('provider_payment_id', p.provider_payment_id,
                          'amount', coalesce(p.capture_amount, p.amount),
                          'currency', p.currency),
       p.next_attempt_at
  FROM payments p JOIN attempts a ON a.payment_id = p.id AND a.n = p.attempt_n
 WHERE p.state = 'AUTHORIZED' AND p.parked_at IS NULL
   AND p.next_attempt_kind IN ('capture', 'void')
   AND p.dispatch_after > '1970-01-01 00:00:00+00';
"""


def upgrade() -> None:
    op.execute(CALLS)
    op.execute(UNDER_WAY)


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
