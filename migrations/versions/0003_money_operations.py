"""Refunds, disputes, webhooks, settlement, FX, recognition, API keys and the audit log.

Revision ID: 0003
Revises: 0002
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels: str | None = None
depends_on: str | None = None

# One-off charges bring their own payment method; an authorisation may wait to be captured: what
# is to be captured of it is written down before the provider is asked.
# A refund that succeeded can still fail: then the payment goes back to where it was.
PAYMENTS = """
ALTER TABLE payments
  ADD COLUMN payment_method_id uuid REFERENCES payment_methods,
  ADD COLUMN capture_method text NOT NULL DEFAULT 'automatic'
    CONSTRAINT payments_capture_method CHECK (capture_method IN ('automatic', 'manual')),
  ADD COLUMN description text NOT NULL DEFAULT '',
  ADD COLUMN authorized_until timestamptz,
  ADD COLUMN capture_amount bigint
    CONSTRAINT payments_capture_within_amount CHECK (capture_amount BETWEEN 1 AND amount),
  ADD COLUMN settled_at timestamptz,
  ADD CONSTRAINT payments_authorized_with_end
    CHECK (state <> 'AUTHORIZED' OR capture_method = 'automatic' OR authorized_until IS NOT NULL),
  ADD CONSTRAINT payments_billed_or_one_off
    CHECK (invoice_id IS NOT NULL OR payment_method_id IS NOT NULL),
  DROP CONSTRAINT payments_next_attempt_kind_check,
  ADD CONSTRAINT payments_next_attempt_kind CHECK (next_attempt_kind IN
    ('first', 'ladder', 'manual', 'new_method', 'absent', 'give_up', 'capture', 'void'));
CREATE INDEX payments_customer ON payments (customer_id, id);
CREATE INDEX payments_authorized ON payments (authorized_until) WHERE state = 'AUTHORIZED';

CREATE OR REPLACE FUNCTION guard_payment() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'payment % can''t be deleted', OLD.id USING ERRCODE = 'restrict_violation';
  END IF;
  IF (NEW.id, NEW.invoice_id, NEW.subscription_id, NEW.customer_id, NEW.amount, NEW.currency,
      NEW.capture_method, NEW.created_at)
     IS DISTINCT FROM
     (OLD.id, OLD.invoice_id, OLD.subscription_id, OLD.customer_id, OLD.amount, OLD.currency,
      OLD.capture_method, OLD.created_at) THEN
    RAISE EXCEPTION 'payment %: what it collects can''t change', OLD.id
      USING ERRCODE = 'restrict_violation';
  END IF;
  IF NEW.state <> OLD.state AND (OLD.state, NEW.state) NOT IN (
       ('CREATED', 'AUTHORIZED'), ('CREATED', 'FAILED'),
       ('AUTHORIZED', 'CAPTURED'), ('AUTHORIZED', 'FAILED'),
       ('CAPTURED', 'SETTLED'), ('CAPTURED', 'REFUNDED'), ('SETTLED', 'REFUNDED'),
       ('REFUNDED', 'CAPTURED'), ('REFUNDED', 'SETTLED'),
       ('FAILED', 'CREATED'), ('FAILED', 'CAPTURED')) THEN
    RAISE EXCEPTION 'payment %: % -> % is no legal transition', OLD.id, OLD.state, NEW.state
      USING ERRCODE = 'restrict_violation';
  END IF;
  IF NEW.attempt_n < OLD.attempt_n OR NEW.amount_refunded < 0 THEN
    RAISE EXCEPTION 'payment %: attempts are counted forward', OLD.id
      USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END
$$;
"""

REFUNDS = """
CREATE TABLE refunds (
  id                  uuid PRIMARY KEY,
  payment_id          uuid NOT NULL REFERENCES payments,
  amount              bigint NOT NULL CHECK (amount > 0),
  currency            text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  state               text NOT NULL CHECK (state IN
                        ('requested', 'pending', 'succeeded', 'failed', 'canceled')),
  recognised          bigint NOT NULL CHECK (recognised >= 0),
  deferred            bigint NOT NULL CHECK (deferred >= 0),
  tax                 bigint NOT NULL CHECK (tax >= 0),
  reason              text NOT NULL,
  requested_by        text NOT NULL,
  idempotency_key     text NOT NULL UNIQUE,
  key_n               smallint NOT NULL DEFAULT 1 CHECK (key_n >= 1),
  provider_refund_id  text UNIQUE,
  failure_reason      text,
  first_sent_at       timestamptz,
  sends               integer NOT NULL DEFAULT 0,
  unknown_since       timestamptz,
  last_error          text,
  next_attempt_at     timestamptz,
  dispatch_after      timestamptz NOT NULL,
  lease_until         timestamptz,
  created_at          timestamptz NOT NULL,
  finished_at         timestamptz,
  settled_at          timestamptz,
  CONSTRAINT refunds_parts_add_up
    CHECK (recognised + deferred + tax = amount),
  CONSTRAINT refunds_finished_with_instant
    CHECK ((state IN ('succeeded', 'failed', 'canceled')) = (finished_at IS NOT NULL)),
  CONSTRAINT refunds_open_have_a_next
    CHECK ((state IN ('requested', 'pending')) = (next_attempt_at IS NOT NULL))
);
CREATE INDEX refunds_payment ON refunds (payment_id);
CREATE INDEX refunds_unsettled ON refunds (finished_at)
  WHERE state = 'succeeded' AND settled_at IS NULL;
CREATE INDEX refunds_due ON refunds (next_attempt_at, dispatch_after)
  WHERE next_attempt_at IS NOT NULL;

-- What is refunded of a payment is counted in the payment's own row, which the requester locks;
-- the refunds that aren't failed must add up to it, and its CHECK keeps it within the capture.
CREATE FUNCTION guard_refund() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'refund % can''t be deleted', OLD.id USING ERRCODE = 'restrict_violation';
  END IF;
  IF (NEW.id, NEW.payment_id, NEW.amount, NEW.currency, NEW.recognised, NEW.deferred, NEW.tax,
      NEW.idempotency_key, NEW.created_at)
     IS DISTINCT FROM
     (OLD.id, OLD.payment_id, OLD.amount, OLD.currency, OLD.recognised, OLD.deferred, OLD.tax,
      OLD.idempotency_key, OLD.created_at) THEN
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
CREATE TRIGGER guard BEFORE UPDATE OR DELETE ON refunds
  FOR EACH ROW EXECUTE FUNCTION guard_refund();

CREATE FUNCTION check_refunds_within_payment() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE given bigint; counted bigint; taken text;
BEGIN
  SELECT amount_refunded, currency INTO counted, taken
    FROM public.payments WHERE id = NEW.payment_id FOR UPDATE;
  SELECT coalesce(sum(amount), 0) INTO given
    FROM public.refunds
   WHERE payment_id = NEW.payment_id AND state NOT IN ('failed', 'canceled');
  IF given <> counted OR taken <> NEW.currency THEN
    RAISE EXCEPTION 'payment %: refunds add up to % %, the payment counts % %',
      NEW.payment_id, given, NEW.currency, counted, taken USING ERRCODE = 'check_violation';
  END IF;
  RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER within_payment AFTER INSERT OR UPDATE OF state ON refunds
  DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION check_refunds_within_payment();
"""

DISPUTES = """
CREATE TABLE disputes (
  id                   uuid PRIMARY KEY,
  provider_dispute_id  text NOT NULL UNIQUE,
  payment_id           uuid REFERENCES payments,
  provider_charge_id   text NOT NULL,
  amount               bigint NOT NULL CHECK (amount > 0),
  currency             text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  reason               text NOT NULL,
  provider_status      text NOT NULL,
  state                text NOT NULL CHECK (state IN
                         ('inquiry', 'inquiry_closed', 'opened', 'won', 'lost')),
  funds_withdrawn      boolean NOT NULL DEFAULT false,
  fee                  bigint NOT NULL DEFAULT 0,
  fee_currency         text CHECK (fee_currency ~ '^[A-Z]{3}$'),
  transaction_ids      text[] NOT NULL DEFAULT '{}',
  times_lost           smallint NOT NULL DEFAULT 0 CHECK (times_lost >= 0),
  lost_recognised      bigint NOT NULL DEFAULT 0 CHECK (lost_recognised >= 0),
  lost_deferred        bigint NOT NULL DEFAULT 0 CHECK (lost_deferred >= 0),
  lost_tax             bigint NOT NULL DEFAULT 0 CHECK (lost_tax >= 0),
  opened_at            timestamptz NOT NULL,
  closed_at            timestamptz,
  updated_at           timestamptz NOT NULL,
  CONSTRAINT disputes_lost_parts_when_lost
    CHECK (state = 'lost' OR lost_recognised + lost_deferred + lost_tax = 0),
  CONSTRAINT disputes_closed_with_instant
    CHECK ((state IN ('inquiry_closed', 'won', 'lost')) = (closed_at IS NOT NULL))
);
CREATE INDEX disputes_payment ON disputes (payment_id);
CREATE INDEX disputes_open ON disputes (opened_at) WHERE state IN ('inquiry', 'opened');
"""

WEBHOOKS = """
CREATE TABLE provider_events (
  event_id      text PRIMARY KEY,
  type          text NOT NULL,
  object_id     text NOT NULL,
  created       timestamptz NOT NULL,
  received_at   timestamptz NOT NULL,
  source        text NOT NULL CHECK (source IN ('webhook', 'sweep', 'replay')),
  payload       jsonb NOT NULL,
  handled_at    timestamptz,
  handling      text,
  tries         integer NOT NULL DEFAULT 0,
  last_error    text,
  next_try_at   timestamptz,
  CONSTRAINT provider_events_handled_or_due
    CHECK ((handled_at IS NULL) = (next_try_at IS NOT NULL))
);
CREATE INDEX provider_events_due ON provider_events (next_try_at) WHERE next_try_at IS NOT NULL;
CREATE INDEX provider_events_object ON provider_events (object_id, created);
"""

SETTLEMENT = """
CREATE TABLE reconciliation_runs (
  id           uuid PRIMARY KEY,
  source       text NOT NULL CHECK (source IN ('provider', 'report')),
  reference    text NOT NULL,
  window_from  timestamptz NOT NULL,
  window_to    timestamptz NOT NULL,
  state        text NOT NULL CHECK (state IN ('running', 'succeeded', 'failed')),
  started_at   timestamptz NOT NULL,
  finished_at  timestamptz,
  CONSTRAINT reconciliation_runs_once UNIQUE (source, reference),
  CONSTRAINT reconciliation_runs_window CHECK (window_from < window_to)
);
CREATE INDEX reconciliation_runs_read ON reconciliation_runs (window_to)
  WHERE source = 'provider';
CREATE INDEX reconciliation_runs_running ON reconciliation_runs (id) WHERE state = 'running';
CREATE TABLE reconciliation_steps (
  run_id       uuid NOT NULL REFERENCES reconciliation_runs,
  step         text NOT NULL CHECK (step IN
                 ('fetch', 'stage', 'match', 'correct', 'post', 'close')),
  position     smallint NOT NULL,
  state        text NOT NULL CHECK (state IN ('waiting', 'running', 'succeeded', 'failed')),
  tries        integer NOT NULL DEFAULT 0,
  cursor       jsonb NOT NULL DEFAULT '{}',
  counts       jsonb NOT NULL DEFAULT '{}',
  last_error   text,
  started_at   timestamptz,
  finished_at  timestamptz,
  lease_until  timestamptz,
  PRIMARY KEY (run_id, step)
);

-- One row a balance transaction of the provider, in minor units of the settlement currency.
CREATE TABLE settlement_rows (
  provider_transaction_id  text PRIMARY KEY,
  run_id                   uuid NOT NULL REFERENCES reconciliation_runs,
  category                 text NOT NULL,
  source_id                text,
  provider_payment_id      text,
  provider_charge_id       text,
  amount                   bigint NOT NULL,
  fee                      bigint NOT NULL,
  net                      bigint NOT NULL,
  currency                 text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  customer_amount          bigint,
  customer_currency        text CHECK (customer_currency ~ '^[A-Z]{3}$'),
  exchange_rate            numeric,
  provider_payout_id       text,
  created                  timestamptz NOT NULL,
  available_on             timestamptz,
  metadata                 jsonb NOT NULL DEFAULT '{}',
  outcome                  text,
  payment_id               uuid REFERENCES payments,
  matched_at               timestamptz,
  posted_at                timestamptz,
  CONSTRAINT settlement_rows_net CHECK (net = amount - fee)
);
-- Matching and posting walk these in order and leave nothing in them: they stay small.
CREATE INDEX settlement_rows_unmatched ON settlement_rows (provider_transaction_id)
  WHERE matched_at IS NULL;
CREATE INDEX settlement_rows_unposted ON settlement_rows (provider_transaction_id)
  WHERE matched_at IS NOT NULL AND posted_at IS NULL;
CREATE INDEX settlement_rows_payment ON settlement_rows (provider_payment_id);
CREATE INDEX settlement_rows_payout ON settlement_rows (provider_payout_id)
  WHERE provider_payout_id IS NOT NULL;
CREATE INDEX settlement_rows_source ON settlement_rows (source_id) WHERE category <> 'charge';
CREATE INDEX payments_provider_charge ON payments (provider_charge_id)
  WHERE provider_charge_id IS NOT NULL;
CREATE INDEX payments_unsettled ON payments (captured_at)
  WHERE captured_at IS NOT NULL AND settled_at IS NULL;
CREATE INDEX payment_transitions_forced ON payment_transitions (payment_id)
  WHERE cause = 'forced_correction';

CREATE TABLE payouts (
  provider_payout_id  text PRIMARY KEY,
  amount              bigint NOT NULL,
  currency            text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  status              text NOT NULL,
  created             timestamptz NOT NULL,
  arrival             timestamptz,
  updated_at          timestamptz NOT NULL
);

CREATE TABLE fx_events (
  id             uuid PRIMARY KEY,
  source_key     text NOT NULL UNIQUE,
  source         text NOT NULL,
  from_currency  text NOT NULL CHECK (from_currency ~ '^[A-Z]{3}$'),
  from_amount    bigint NOT NULL CHECK (from_amount > 0),
  to_currency    text NOT NULL CHECK (to_currency ~ '^[A-Z]{3}$'),
  to_amount      bigint NOT NULL CHECK (to_amount > 0),
  rate           numeric NOT NULL CHECK (rate > 0),
  at             timestamptz NOT NULL,
  payment_id     uuid REFERENCES payments,
  CONSTRAINT fx_events_two_currencies CHECK (from_currency <> to_currency)
);

"""

# What was earned of each invoice, and up to when; negative where it was taken back.
# The next instant at which something is to be earned stands in the invoice, so that what is
# due is found by an index.
RECOGNITION = """
CREATE TABLE revenue_recognitions (
  invoice_id  uuid NOT NULL REFERENCES invoices,
  through     timestamptz NOT NULL,
  amount      bigint NOT NULL CHECK (amount <> 0),
  PRIMARY KEY (invoice_id, through)
);
ALTER TABLE invoices ADD COLUMN recognise_at timestamptz;
UPDATE invoices i SET recognise_at = c.period_end
  FROM cycles c
 WHERE c.id = i.cycle_id AND i.net > 0 AND i.status IN ('open', 'paid');
CREATE INDEX invoices_recognise ON invoices (recognise_at) WHERE recognise_at IS NOT NULL;
"""

BREAKS = """
ALTER TABLE breaks
  ADD COLUMN currency text CHECK (currency ~ '^[A-Z]{3}$'),
  ADD COLUMN assigned_to text,
  ADD COLUMN resolved_by text,
  ADD COLUMN run_id uuid REFERENCES reconciliation_runs,
  ADD COLUMN provider_transaction_id text;
CREATE INDEX breaks_transaction ON breaks (provider_transaction_id);
CREATE INDEX breaks_open_payment ON breaks (payment_id) WHERE resolved_at IS NULL;
CREATE TABLE break_notes (
  id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  break_id  uuid NOT NULL REFERENCES breaks,
  at        timestamptz NOT NULL,
  actor     text NOT NULL,
  words     text NOT NULL
);
CREATE INDEX break_notes_break ON break_notes (break_id, id);
"""

ACCESS = """
CREATE TABLE idempotency_keys (
  scope         text NOT NULL,
  key           text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
  request_hash  bytea NOT NULL,
  operation     text NOT NULL,
  resource_id   uuid,
  status        integer,
  response      jsonb,
  lease_until   timestamptz,
  created_at    timestamptz NOT NULL,
  finished_at   timestamptz,
  PRIMARY KEY (scope, key),
  CONSTRAINT idempotency_keys_finished
    CHECK ((finished_at IS NULL) = (status IS NULL) AND (status IS NULL) = (response IS NULL))
);
CREATE TABLE api_keys (
  id            text PRIMARY KEY,
  name          text NOT NULL,
  secret_hash   bytea NOT NULL,
  scopes        text[] NOT NULL CHECK (scopes <@ ARRAY['read', 'charge', 'refund', 'admin']
                                       AND cardinality(scopes) > 0),
  created_at    timestamptz NOT NULL,
  last_used_at  timestamptz,
  revoked_at    timestamptz
);
CREATE TABLE audit_log (
  id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at       timestamptz NOT NULL,
  actor    text NOT NULL,
  action   text NOT NULL,
  subject  text NOT NULL,
  why      text NOT NULL DEFAULT '',
  detail   jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_log_subject ON audit_log (subject, id);

-- What was asked for under a key, and what was answered, is what every repetition hears.
CREATE FUNCTION guard_idempotency_key() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'idempotency key % can''t be deleted', OLD.key
      USING ERRCODE = 'restrict_violation';
  END IF;
  IF (NEW.scope, NEW.key, NEW.request_hash, NEW.operation, NEW.resource_id, NEW.created_at)
     IS DISTINCT FROM
     (OLD.scope, OLD.key, OLD.request_hash, OLD.operation, OLD.resource_id, OLD.created_at) THEN
    RAISE EXCEPTION 'idempotency key %: what was asked for can''t change', OLD.key
      USING ERRCODE = 'restrict_violation';
  END IF;
  IF OLD.finished_at IS NOT NULL AND NEW IS DISTINCT FROM OLD THEN
    RAISE EXCEPTION 'idempotency key %: its answer was given', OLD.key
      USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER guard BEFORE UPDATE OR DELETE ON idempotency_keys
  FOR EACH ROW EXECUTE FUNCTION guard_idempotency_key();

-- A key is used and revoked; whoever wants another name, secret or scope makes another key.
CREATE FUNCTION guard_api_key() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'API key % can''t be deleted', OLD.id USING ERRCODE = 'restrict_violation';
  END IF;
  IF (NEW.id, NEW.name, NEW.secret_hash, NEW.scopes, NEW.created_at)
     IS DISTINCT FROM (OLD.id, OLD.name, OLD.secret_hash, OLD.scopes, OLD.created_at) THEN
    RAISE EXCEPTION 'API key %: what it opens can''t change', OLD.id
      USING ERRCODE = 'restrict_violation';
  END IF;
  IF OLD.revoked_at IS NOT NULL AND NEW.revoked_at IS DISTINCT FROM OLD.revoked_at THEN
    RAISE EXCEPTION 'API key % stays revoked', OLD.id USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER guard BEFORE UPDATE OR DELETE ON api_keys
  FOR EACH ROW EXECUTE FUNCTION guard_api_key();
"""

NEW_TABLES = (
    "refunds",
    "disputes",
    "provider_events",
    "reconciliation_runs",
    "reconciliation_steps",
    "settlement_rows",
    "payouts",
    "fx_events",
    "revenue_recognitions",
    "break_notes",
    "idempotency_keys",
    "api_keys",
    "audit_log",
)
APPEND_ONLY_TABLES = ("fx_events", "revenue_recognitions", "break_notes", "audit_log")


def upgrade() -> None:
    for part in (
        PAYMENTS,
        REFUNDS,
        DISPUTES,
        WEBHOOKS,
        SETTLEMENT,
        RECOGNITION,
        BREAKS,
        ACCESS,
    ):
        op.execute(part)
    for table in NEW_TABLES:
        rights = "SELECT, INSERT" if table in APPEND_ONLY_TABLES else "SELECT, INSERT, UPDATE"
        op.execute(f"GRANT {rights} ON {table} TO billing_app")
    op.execute("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO billing_app")
    for table in APPEND_ONLY_TABLES:
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table}"
            " FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
        op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER append_only")
    guarded = ("refunds", "idempotency_keys", "api_keys")
    for table in (*APPEND_ONLY_TABLES, *guarded, "disputes", "settlement_rows"):
        op.execute(
            f"CREATE TRIGGER no_truncate BEFORE TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
        op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER no_truncate")
    for table in guarded:
        op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER guard")
    op.execute("ALTER TABLE refunds ENABLE ALWAYS TRIGGER within_payment")


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
