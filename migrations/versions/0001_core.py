"""Plans, customers, subscriptions, cycles, invoices, payments and what guards them.

Revision ID: 0001
Revises: nothing
"""

from alembic import op

revision = "0001"
down_revision: str | None = None
branch_labels: str | None = None
depends_on: str | None = None

APP_ROLE = """
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'billing_app') THEN
    CREATE ROLE billing_app NOLOGIN;
  END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
  NULL;  -- another database of this cluster was migrated at the same moment
END
$$;
-- Whoever migrates may also run the engine, which steps down to this role on every connection. Where
-- somebody else made the role, a plain owner can't give it to itself, and needn't have it.
DO $$
BEGIN
  IF NOT pg_has_role(CURRENT_USER, 'billing_app', 'MEMBER') THEN
    GRANT billing_app TO CURRENT_USER;
  END IF;
EXCEPTION WHEN insufficient_privilege THEN
  NULL;
END
$$;
"""

# One function serves every append-only table; the message names the table.
APPEND_ONLY = """
CREATE FUNCTION refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP
    USING ERRCODE = 'restrict_violation', HINT = 'Correct it with a new row.';
END
$$;
"""

PLANS = """
CREATE TABLE plans (
  code        text PRIMARY KEY CHECK (code ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
  product     text NOT NULL,
  name        text NOT NULL,
  dunning     jsonb,
  catch_up    text CHECK (catch_up IN ('bill', 'skip', 'park')),
  applied_at  timestamptz NOT NULL
);
CREATE TABLE plan_versions (
  plan          text NOT NULL REFERENCES plans,
  effective     date NOT NULL,
  terms         jsonb NOT NULL,
  digest        text NOT NULL CHECK (digest ~ '^[0-9a-f]{64}$'),
  published_at  timestamptz NOT NULL,
  PRIMARY KEY (plan, effective)
);
"""

CUSTOMERS = """
CREATE TABLE customers (
  id                         uuid PRIMARY KEY,
  external_id                text UNIQUE,
  name                       text NOT NULL,
  email                      text,
  provider_customer_id       text UNIQUE,
  default_payment_method_id  uuid,
  created_at                 timestamptz NOT NULL
);
CREATE TABLE payment_methods (
  id                          uuid PRIMARY KEY,
  customer_id                 uuid NOT NULL REFERENCES customers,
  provider_payment_method_id  text NOT NULL UNIQUE,
  brand                       text NOT NULL,
  last4                       text NOT NULL CHECK (last4 ~ '^[0-9]{4}$'),
  exp_month                   smallint NOT NULL CHECK (exp_month BETWEEN 1 AND 12),
  exp_year                    smallint NOT NULL CHECK (exp_year BETWEEN 2000 AND 2200),
  created_at                  timestamptz NOT NULL,
  UNIQUE (customer_id, id)
);
ALTER TABLE customers ADD CONSTRAINT customers_default_payment_method_fkey
  FOREIGN KEY (id, default_payment_method_id) REFERENCES payment_methods (customer_id, id);
"""

SUBSCRIPTIONS = """
CREATE TABLE subscriptions (
  id                    uuid PRIMARY KEY,
  external_id           text UNIQUE,
  customer_id           uuid NOT NULL REFERENCES customers,
  plan                  text NOT NULL,
  plan_version          date NOT NULL,
  currency              text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  quantity              integer NOT NULL CHECK (quantity BETWEEN 1 AND 1000000),
  invoice_prefix        text NOT NULL UNIQUE,
  status                text NOT NULL CHECK (status IN
                          ('trialing', 'active', 'past_due', 'unpaid', 'paused', 'canceled')),
  anchor_local          timestamp NOT NULL,
  zone                  text NOT NULL,
  every                 text NOT NULL,
  trial                 text,
  anchor_day            smallint CHECK (anchor_day BETWEEN 1 AND 31),
  next_n                integer NOT NULL DEFAULT 0 CHECK (next_n >= 0),
  renews_at             timestamptz,
  cancel_at_period_end  boolean NOT NULL DEFAULT false,
  parked_at             timestamptz,
  parked_error          text,
  parked_reason         text,
  canceled_at           timestamptz,
  created_at            timestamptz NOT NULL,
  FOREIGN KEY (plan, plan_version) REFERENCES plan_versions (plan, effective),
  CONSTRAINT subscriptions_parked_with_error
    CHECK ((parked_at IS NULL) = (parked_error IS NULL)),
  CONSTRAINT subscriptions_parked_with_reason
    CHECK ((parked_at IS NULL) = (parked_reason IS NULL)),
  CONSTRAINT subscriptions_renew_while_live
    CHECK ((status IN ('canceled', 'unpaid')) = (renews_at IS NULL)),
  CONSTRAINT subscriptions_canceled_with_instant
    CHECK ((status = 'canceled') = (canceled_at IS NOT NULL))
);
-- Matches the due query to the letter: see store/subscriptions.py and the test that reads EXPLAIN.
CREATE INDEX subscriptions_due ON subscriptions (renews_at)
  WHERE parked_at IS NULL AND renews_at IS NOT NULL;
CREATE INDEX subscriptions_parked ON subscriptions (parked_at) WHERE parked_at IS NOT NULL;
CREATE INDEX subscriptions_customer ON subscriptions (customer_id);

CREATE TABLE subscription_events (
  id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  subscription_id  uuid NOT NULL REFERENCES subscriptions,
  at               timestamptz NOT NULL,
  kind             text NOT NULL,
  actor            text NOT NULL,
  words            text NOT NULL,
  detail           jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX subscription_events_subscription ON subscription_events (subscription_id, id);
"""

# A cycle after the first must begin where, and in number just after, its neighbour ended:
# the chain of foreign keys can hold neither gap, overlap nor a skipped number, and because
# start < end it only ever goes forward, so starts and ends are unique without further indexes.
CYCLES = """
CREATE TABLE cycles (
  id               uuid PRIMARY KEY,
  subscription_id  uuid NOT NULL REFERENCES subscriptions,
  n                integer NOT NULL CHECK (n >= 0),
  kind             text NOT NULL CHECK (kind IN ('trial', 'regular', 'paused', 'skipped')),
  period_start     timestamptz NOT NULL,
  period_end       timestamptz NOT NULL,
  plan             text NOT NULL,
  plan_version     date NOT NULL,
  state            text NOT NULL DEFAULT 'opened' CHECK (state IN ('opened', 'closed')),
  opened_at        timestamptz NOT NULL,
  closed_at        timestamptz,
  digest           text CHECK (digest ~ '^[0-9a-f]{64}$'),
  follows_n        integer GENERATED ALWAYS AS (CASE WHEN n > 0 THEN n - 1 END) STORED,
  CONSTRAINT cycles_one_each
    UNIQUE (subscription_id, n),
  CONSTRAINT cycles_number_and_end
    UNIQUE (subscription_id, n, period_end),
  CONSTRAINT cycles_follow_without_gap
    FOREIGN KEY (subscription_id, follows_n, period_start)
    REFERENCES cycles (subscription_id, n, period_end),
  FOREIGN KEY (plan, plan_version) REFERENCES plan_versions (plan, effective),
  CONSTRAINT cycles_go_forward
    CHECK (period_start < period_end),
  CONSTRAINT cycles_closed_with_instant
    CHECK ((state = 'closed') = (closed_at IS NOT NULL)),
  CONSTRAINT cycles_closed_with_digest
    CHECK ((state = 'closed') = (digest IS NOT NULL))
);
CREATE INDEX cycles_opened ON cycles (id) WHERE state = 'opened';

CREATE FUNCTION guard_cycle() RETURNS trigger
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
      NEW.plan_version, NEW.opened_at)
     IS DISTINCT FROM
     (OLD.id, OLD.subscription_id, OLD.n, OLD.kind, OLD.period_start, OLD.period_end, OLD.plan,
      OLD.plan_version, OLD.opened_at) THEN
    RAISE EXCEPTION 'cycle % of subscription %: only its closing may be written',
      OLD.n, OLD.subscription_id USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER guard BEFORE UPDATE OR DELETE ON cycles
  FOR EACH ROW EXECUTE FUNCTION guard_cycle();
"""

INVOICES = """
CREATE TABLE invoices (
  id               uuid PRIMARY KEY,
  cycle_id         uuid NOT NULL UNIQUE REFERENCES cycles,
  subscription_id  uuid NOT NULL,
  customer_id      uuid NOT NULL,
  number           text NOT NULL UNIQUE,
  currency         text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  net              bigint NOT NULL CHECK (net >= 0),
  tax              bigint NOT NULL CHECK (tax >= 0),
  total            bigint NOT NULL
    CONSTRAINT invoices_total_is_net_and_tax CHECK (total = net + tax),
  status           text NOT NULL CHECK (status IN ('open', 'paid', 'void', 'uncollectible')),
  issued_at        timestamptz NOT NULL,
  resolved_at      timestamptz,
  CONSTRAINT invoices_resolved_with_instant
    CHECK ((status = 'open') = (resolved_at IS NULL))
);
CREATE INDEX invoices_subscription ON invoices (subscription_id);
CREATE INDEX invoices_customer ON invoices (customer_id);

CREATE TABLE invoice_lines (
  invoice_id   uuid NOT NULL REFERENCES invoices,
  line         smallint NOT NULL CHECK (line >= 1),
  description  text NOT NULL,
  quantity     integer NOT NULL CHECK (quantity >= 1),
  unit_amount  bigint NOT NULL,
  amount       bigint NOT NULL,
  PRIMARY KEY (invoice_id, line)
);

CREATE FUNCTION guard_invoice() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'invoice % can''t be deleted', OLD.number USING ERRCODE = 'restrict_violation';
  END IF;
  IF (NEW.id, NEW.cycle_id, NEW.subscription_id, NEW.customer_id, NEW.number, NEW.currency,
      NEW.net, NEW.tax, NEW.total, NEW.issued_at)
     IS DISTINCT FROM
     (OLD.id, OLD.cycle_id, OLD.subscription_id, OLD.customer_id, OLD.number, OLD.currency,
      OLD.net, OLD.tax, OLD.total, OLD.issued_at) THEN
    RAISE EXCEPTION 'invoice %: only its status may change', OLD.number
      USING ERRCODE = 'restrict_violation';
  END IF;
  IF NEW.status <> OLD.status AND (OLD.status, NEW.status) NOT IN (
       ('open', 'paid'), ('open', 'void'), ('open', 'uncollectible'), ('uncollectible', 'open'),
       ('uncollectible', 'paid'), ('void', 'paid')) THEN
    RAISE EXCEPTION 'invoice %: % -> % is no legal change', OLD.number, OLD.status, NEW.status
      USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER guard BEFORE UPDATE OR DELETE ON invoices
  FOR EACH ROW EXECUTE FUNCTION guard_invoice();

-- The lines of an invoice arrive in one statement and add up to its net.
CREATE FUNCTION check_invoice_lines() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE bad text;
BEGIN
  SELECT i.number INTO bad
    FROM (SELECT invoice_id, sum(amount) AS amount, count(*) AS lines, max(line) AS last
            FROM added GROUP BY invoice_id) a
    JOIN public.invoices i ON i.id = a.invoice_id
   WHERE a.amount <> i.net OR a.lines <> a.last
   LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'invoice %: its lines are numbered 1..n, come in one statement and add up to net',
      bad USING ERRCODE = 'check_violation';
  END IF;
  RETURN NULL;
END
$$;
CREATE TRIGGER check_lines AFTER INSERT ON invoice_lines
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION check_invoice_lines();
"""

PAYMENTS = """
CREATE TABLE payments (
  id                   uuid PRIMARY KEY,
  invoice_id           uuid UNIQUE REFERENCES invoices,
  subscription_id      uuid,
  customer_id          uuid NOT NULL,
  amount               bigint NOT NULL CHECK (amount > 0),
  currency             text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  state                text NOT NULL CHECK (state IN
                         ('CREATED', 'AUTHORIZED', 'CAPTURED', 'SETTLED', 'FAILED', 'REFUNDED')),
  provider_payment_id  text UNIQUE,
  provider_charge_id   text,
  amount_captured      bigint NOT NULL DEFAULT 0
    CONSTRAINT payments_captured_within_amount CHECK (amount_captured BETWEEN 0 AND amount),
  amount_refunded      bigint NOT NULL DEFAULT 0,
  attempt_n            integer NOT NULL DEFAULT 0 CHECK (attempt_n >= 0),
  rung                 integer NOT NULL DEFAULT 0 CHECK (rung >= 0),
  next_attempt_at      timestamptz,
  next_attempt_kind    text CHECK (next_attempt_kind IN
                         ('first', 'ladder', 'manual', 'new_method', 'absent', 'give_up')),
  dispatch_after       timestamptz NOT NULL,
  lease_until          timestamptz,
  decline_code         text,
  decline_class        text CHECK (decline_class IN ('soft', 'needs_customer', 'hard')),
  decision             text,
  parked_at            timestamptz,
  parked_error         text,
  parked_reason        text,
  captured_at          timestamptz,
  confirmed_at         timestamptz,
  created_at           timestamptz NOT NULL,
  updated_at           timestamptz NOT NULL,
  CONSTRAINT payments_refunded_within_captured
    CHECK (amount_refunded BETWEEN 0 AND amount_captured),
  CONSTRAINT payments_next_attempt_of_a_kind
    CHECK ((next_attempt_at IS NULL) = (next_attempt_kind IS NULL)),
  CONSTRAINT payments_parked_with_error
    CHECK ((parked_at IS NULL) = (parked_error IS NULL)),
  CONSTRAINT payments_parked_with_reason
    CHECK ((parked_at IS NULL) = (parked_reason IS NULL)),
  CONSTRAINT payments_captured_with_instant
    CHECK ((state IN ('CAPTURED', 'SETTLED', 'REFUNDED')) = (captured_at IS NOT NULL)),
  CONSTRAINT payments_decided_have_no_next
    CHECK (state IN ('CREATED', 'AUTHORIZED') OR next_attempt_at IS NULL),
  CONSTRAINT payments_confirmed_were_captured
    CHECK (confirmed_at IS NULL OR captured_at IS NOT NULL)
);
-- Matches the dispatch query to the letter: see store/payments.py and the test that reads EXPLAIN.
CREATE INDEX payments_due ON payments (next_attempt_at, dispatch_after)
  WHERE next_attempt_at IS NOT NULL AND parked_at IS NULL;
CREATE INDEX payments_parked ON payments (parked_at) WHERE parked_at IS NOT NULL;
CREATE INDEX payments_unconfirmed ON payments (captured_at)
  WHERE captured_at IS NOT NULL AND confirmed_at IS NULL;
CREATE INDEX payments_subscription ON payments (subscription_id);

CREATE FUNCTION guard_payment() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'payment % can''t be deleted', OLD.id USING ERRCODE = 'restrict_violation';
  END IF;
  IF (NEW.id, NEW.invoice_id, NEW.subscription_id, NEW.customer_id, NEW.amount, NEW.currency,
      NEW.created_at)
     IS DISTINCT FROM
     (OLD.id, OLD.invoice_id, OLD.subscription_id, OLD.customer_id, OLD.amount, OLD.currency,
      OLD.created_at) THEN
    RAISE EXCEPTION 'payment %: what it collects can''t change', OLD.id
      USING ERRCODE = 'restrict_violation';
  END IF;
  IF NEW.state <> OLD.state AND (OLD.state, NEW.state) NOT IN (
       ('CREATED', 'AUTHORIZED'), ('CREATED', 'FAILED'),
       ('AUTHORIZED', 'CAPTURED'), ('AUTHORIZED', 'FAILED'),
       ('CAPTURED', 'SETTLED'), ('CAPTURED', 'REFUNDED'), ('SETTLED', 'REFUNDED'),
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
CREATE TRIGGER guard BEFORE UPDATE OR DELETE ON payments
  FOR EACH ROW EXECUTE FUNCTION guard_payment();

CREATE TABLE payment_transitions (
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  payment_id  uuid NOT NULL REFERENCES payments,
  from_state  text NOT NULL,
  to_state    text NOT NULL,
  at          timestamptz NOT NULL,
  actor       text NOT NULL,
  cause       text NOT NULL,
  evidence    jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX payment_transitions_payment ON payment_transitions (payment_id, id);

CREATE TABLE attempts (
  payment_id           uuid NOT NULL REFERENCES payments,
  n                    integer NOT NULL CHECK (n >= 1),
  kind                 text NOT NULL CHECK (kind IN
                         ('first', 'ladder', 'manual', 'new_method', 'absent')),
  idempotency_key      text NOT NULL UNIQUE CHECK (length(idempotency_key) <= 255),
  payment_method_id    uuid NOT NULL REFERENCES payment_methods,
  request              jsonb NOT NULL,
  rung                 integer NOT NULL,
  first_sent_at        timestamptz NOT NULL,
  sends                integer NOT NULL DEFAULT 1 CHECK (sends >= 1),
  unknown_since        timestamptz,
  last_error           text,
  finished_at          timestamptz,
  outcome              text CHECK (outcome IN
                         ('succeeded', 'declined', 'action_required', 'rejected', 'absent')),
  decline_code         text,
  advice_code          text,
  decline_class        text CHECK (decline_class IN ('soft', 'needs_customer', 'hard')),
  message              text,
  provider_request_id  text,
  decision             text,
  PRIMARY KEY (payment_id, n),
  CONSTRAINT attempts_finished_with_outcome
    CHECK ((finished_at IS NULL) = (outcome IS NULL))
);
CREATE UNIQUE INDEX attempts_one_open ON attempts (payment_id) WHERE finished_at IS NULL;
CREATE INDEX attempts_declined ON attempts (payment_method_id, finished_at)
  WHERE outcome = 'declined';

CREATE FUNCTION guard_attempt() RETURNS trigger
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
  IF (NEW.payment_id, NEW.n, NEW.kind, NEW.idempotency_key, NEW.payment_method_id, NEW.request,
      NEW.rung, NEW.first_sent_at)
     IS DISTINCT FROM
     (OLD.payment_id, OLD.n, OLD.kind, OLD.idempotency_key, OLD.payment_method_id, OLD.request,
      OLD.rung, OLD.first_sent_at) THEN
    RAISE EXCEPTION 'attempt % of payment %: what was sent can''t change', OLD.n, OLD.payment_id
      USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER guard BEFORE UPDATE OR DELETE ON attempts
  FOR EACH ROW EXECUTE FUNCTION guard_attempt();
"""

OPERATIONS = """
CREATE TABLE breaks (
  id               uuid PRIMARY KEY,
  kind             text NOT NULL,
  dedupe_key       text NOT NULL UNIQUE,
  cycle_id         uuid REFERENCES cycles,
  payment_id       uuid REFERENCES payments,
  ours             jsonb NOT NULL,
  provider         jsonb NOT NULL,
  suggested_cause  text NOT NULL,
  found_at         timestamptz NOT NULL,
  resolved_at      timestamptz,
  resolution       text,
  CONSTRAINT breaks_resolved_in_words
    CHECK ((resolved_at IS NULL) = (resolution IS NULL))
);
CREATE INDEX breaks_open ON breaks (kind) WHERE resolved_at IS NULL;
CREATE INDEX breaks_open_cycle ON breaks (cycle_id) WHERE resolved_at IS NULL;

CREATE TABLE tasks (
  task             text PRIMARY KEY,
  last_started_at  timestamptz NOT NULL,
  last_success_at  timestamptz,
  last_seconds     double precision,
  watermark        timestamptz,
  last_error       text
);

CREATE TABLE test_clock (
  id   smallint PRIMARY KEY DEFAULT 1 CHECK (id = 1),
  now  timestamptz NOT NULL
);
CREATE FUNCTION guard_test_clock() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF NEW.now < OLD.now THEN
    RAISE EXCEPTION 'the test clock only goes forward: % is before %', NEW.now, OLD.now
      USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER guard BEFORE UPDATE ON test_clock
  FOR EACH ROW EXECUTE FUNCTION guard_test_clock();
"""

GRANTS = """
GRANT USAGE ON SCHEMA public TO billing_app;
GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO billing_app;
REVOKE INSERT, UPDATE ON alembic_version FROM billing_app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO billing_app;
"""

# ENABLE ALWAYS: they fire under session_replication_role = replica too.
APPEND_ONLY_TABLES = (
    "plan_versions",
    "subscription_events",
    "payment_transitions",
    "invoice_lines",
)
GUARDED_TABLES = ("cycles", "invoices", "payments", "attempts")


def upgrade() -> None:
    for part in (
        APP_ROLE,
        APPEND_ONLY,
        PLANS,
        CUSTOMERS,
        SUBSCRIPTIONS,
        CYCLES,
        INVOICES,
        PAYMENTS,
        OPERATIONS,
        GRANTS,
    ):
        op.execute(part)
    for table in APPEND_ONLY_TABLES:
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table}"
            " FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
        op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER append_only")
        op.execute(f"REVOKE UPDATE ON {table} FROM billing_app")
    for table in (*APPEND_ONLY_TABLES, *GUARDED_TABLES):
        op.execute(
            f"CREATE TRIGGER no_truncate BEFORE TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
        op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER no_truncate")
    for table in (*GUARDED_TABLES, "test_clock"):
        op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER guard")
    op.execute("ALTER TABLE invoice_lines ENABLE ALWAYS TRIGGER check_lines")


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
