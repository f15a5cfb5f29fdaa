"""Calls about taxes: what a provider is asked for, and what it is told of sales.

A calculation is asked for before an invoice is issued, and used for one. A record tells the provider
that the invoice was issued, a reversal what a credit note or a void took back of it. Each is a row
before it is sent, and open until it has a definite answer.

Revision ID: 0067
Revises: 0066
"""

from alembic import op

revision = "0067"
down_revision = "0066"
branch_labels: str | None = None
depends_on: str | None = None

# The request is a document as it was committed; decisions are in tax_decisions.
CALLS = """
CREATE TABLE tax_calls (
  id               uuid PRIMARY KEY,
  kind             text NOT NULL CHECK (kind IN ('calculation', 'record', 'reversal')),
  provider         text NOT NULL,
  customer_id      uuid NOT NULL REFERENCES customers,
  subscription_id  uuid REFERENCES subscriptions,
  waits            boolean NOT NULL DEFAULT false,
  invoice_id       uuid REFERENCES invoices,
  note_id          uuid REFERENCES credit_notes,
  follows_id       uuid REFERENCES tax_calls,
  reference        text,
  request          text NOT NULL,
  idempotency_key  text NOT NULL CHECK (length(idempotency_key) BETWEEN 1 AND 255),
  state            text NOT NULL DEFAULT 'open'
                   CHECK (state IN ('open', 'answered', 'refused', 'lapsed')),
  asked_at         timestamptz NOT NULL,
  ended_at         timestamptz,
  answer           text,
  provider_ref     text,
  decision_id      uuid REFERENCES tax_decisions,
  refusal          text,
  sends            integer NOT NULL DEFAULT 0 CHECK (sends >= 0),
  unknown_since    timestamptz,
  error_class      text,
  error_message    text,
  next_attempt_at  timestamptz,
  dispatch_after   timestamptz NOT NULL,
  lease_until      timestamptz,
  CONSTRAINT tax_calls_own_key UNIQUE (idempotency_key),
  CONSTRAINT tax_calls_own_reference UNIQUE (reference),
  CONSTRAINT tax_calls_open_are_due CHECK ((state = 'open') = (next_attempt_at IS NOT NULL)),
  CONSTRAINT tax_calls_end CHECK ((state = 'open') = (ended_at IS NULL)),
  CONSTRAINT tax_calls_answered CHECK ((state = 'answered') = (answer IS NOT NULL)
                                       AND (state = 'answered') = (provider_ref IS NOT NULL)),
  CONSTRAINT tax_calls_refused CHECK ((state = 'refused') = (refusal IS NOT NULL)),
  CONSTRAINT tax_calls_of_kind CHECK (
    CASE kind
    WHEN 'calculation' THEN reference IS NULL AND note_id IS NULL AND follows_id IS NULL
                            AND (state = 'answered') = (decision_id IS NOT NULL)
                            AND (invoice_id IS NULL OR state = 'answered')
                            AND (NOT waits OR subscription_id IS NOT NULL)
    ELSE reference IS NOT NULL AND invoice_id IS NOT NULL AND follows_id IS NOT NULL
         AND decision_id IS NULL AND NOT waits AND state <> 'lapsed'
         AND (kind = 'reversal' OR note_id IS NULL)
    END)
);
CREATE UNIQUE INDEX tax_calls_used_once ON tax_calls (invoice_id) WHERE kind = 'calculation';
CREATE UNIQUE INDEX tax_calls_one_record ON tax_calls (invoice_id) WHERE kind = 'record';
CREATE UNIQUE INDEX tax_calls_one_of_note ON tax_calls (note_id);
CREATE UNIQUE INDEX tax_calls_one_of_void ON tax_calls (invoice_id)
  WHERE kind = 'reversal' AND note_id IS NULL;
CREATE INDEX tax_calls_due ON tax_calls (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX tax_calls_waited_for ON tax_calls (subscription_id) WHERE waits AND state = 'open';
CREATE INDEX tax_calls_unused ON tax_calls (customer_id, asked_at)
  WHERE kind = 'calculation' AND invoice_id IS NULL;
CREATE INDEX tax_calls_following ON tax_calls (follows_id);
CREATE INDEX tax_calls_decision ON tax_calls (decision_id);
CREATE INDEX tax_calls_refusals ON tax_calls (ended_at) WHERE state = 'refused';

-- What was asked is asked again as it was. An end stays, but a person may let a refused record be
-- sent again.
CREATE FUNCTION guard_tax_call() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'call % about taxes can''t be deleted', OLD.id
      USING ERRCODE = 'restrict_violation';
  END IF;
  IF (NEW.id, NEW.kind, NEW.provider, NEW.customer_id, NEW.subscription_id, NEW.note_id,
      NEW.follows_id, NEW.reference, NEW.request, NEW.idempotency_key, NEW.asked_at)
     IS DISTINCT FROM
     (OLD.id, OLD.kind, OLD.provider, OLD.customer_id, OLD.subscription_id, OLD.note_id,
      OLD.follows_id, OLD.reference, OLD.request, OLD.idempotency_key, OLD.asked_at) THEN
    RAISE EXCEPTION 'call % about taxes: what was asked can''t change', OLD.id
      USING ERRCODE = 'restrict_violation';
  END IF;
  IF NEW.sends < OLD.sends THEN
    RAISE EXCEPTION 'call % about taxes: sends are counted forward', OLD.id
      USING ERRCODE = 'restrict_violation';
  END IF;
  IF OLD.invoice_id IS DISTINCT FROM NEW.invoice_id AND OLD.invoice_id IS NOT NULL THEN
    RAISE EXCEPTION 'call % about taxes is of an invoice already', OLD.id
      USING ERRCODE = 'restrict_violation';
  END IF;
  IF OLD.state <> 'open' AND NOT (OLD.state = 'refused' AND OLD.kind <> 'calculation')
     AND (NEW.state, NEW.ended_at, NEW.answer, NEW.provider_ref, NEW.decision_id, NEW.refusal)
         IS DISTINCT FROM
         (OLD.state, OLD.ended_at, OLD.answer, OLD.provider_ref, OLD.decision_id, OLD.refusal) THEN
    RAISE EXCEPTION 'call % about taxes is %', OLD.id, OLD.state
      USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER guard BEFORE UPDATE OR DELETE ON tax_calls
  FOR EACH ROW EXECUTE FUNCTION guard_tax_call();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON tax_calls
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE tax_calls ENABLE ALWAYS TRIGGER guard;
ALTER TABLE tax_calls ENABLE ALWAYS TRIGGER no_truncate;
GRANT SELECT, INSERT ON tax_calls TO billing_app;
GRANT UPDATE (waits, invoice_id, state, ended_at, answer, provider_ref, decision_id, refusal, sends,
              unknown_since, error_class, error_message, next_attempt_at, dispatch_after,
              lease_until) ON tax_calls TO billing_app;
"""


def upgrade() -> None:
    op.execute(CALLS)


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
