"""An invoice follows from facts that are stored with it; its lines name items, and credit pays.

`facts` is the document that all amounts of an invoice are computed from, by the version of the rules
in `rules`. Invoices of before have none. A subscription holds items beside that of its plan's
single price. What is granted as credit is used up by moves that follow each other: a move begins
with what the one before it left, so that two at once can't use the same amount.

Revision ID: 0043
Revises: 0042
"""

from alembic import op

revision = "0043"
down_revision = "0042"
branch_labels: str | None = None
depends_on: str | None = None

INVOICES = """
ALTER TABLE invoices
  ALTER COLUMN cycle_id DROP NOT NULL,
  ALTER COLUMN subscription_id DROP NOT NULL,
  ADD COLUMN kind text NOT NULL DEFAULT 'cycle'
    CONSTRAINT invoices_kind CHECK (kind IN ('cycle', 'change', 'final', 'one_off', 'top_up')),
  ADD COLUMN rules smallint CHECK (rules >= 1),
  ADD COLUMN facts text,
  ADD COLUMN facts_digest text CHECK (facts_digest ~ '^[0-9a-f]{64}$'),
  ADD COLUMN discount bigint NOT NULL DEFAULT 0 CHECK (discount >= 0),
  ADD COLUMN credit bigint NOT NULL DEFAULT 0,
  ADD COLUMN due bigint NOT NULL GENERATED ALWAYS AS (net + tax - credit) STORED,
  ADD CONSTRAINT invoices_credit_within_total CHECK (credit BETWEEN 0 AND net + tax),
  ADD CONSTRAINT invoices_of_a_cycle CHECK ((kind = 'cycle') = (cycle_id IS NOT NULL)),
  ADD CONSTRAINT invoices_of_a_subscription
    CHECK (kind IN ('one_off', 'top_up') OR subscription_id IS NOT NULL),
  ADD CONSTRAINT invoices_facts_with_rules
    CHECK ((facts IS NULL) = (rules IS NULL) AND (facts IS NULL) = (facts_digest IS NULL)),
  ADD CONSTRAINT invoices_digest_of_facts
    CHECK (facts_digest = encode(sha256(convert_to(facts, 'UTF8')), 'hex'));

CREATE OR REPLACE FUNCTION guard_invoice() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'invoice % can''t be deleted', OLD.number USING ERRCODE = 'restrict_violation';
  END IF;
  IF (NEW.id, NEW.cycle_id, NEW.subscription_id, NEW.customer_id, NEW.number, NEW.currency,
      NEW.net, NEW.tax, NEW.total, NEW.issued_at, NEW.kind, NEW.rules, NEW.facts,
      NEW.facts_digest, NEW.discount, NEW.credit)
     IS DISTINCT FROM
     (OLD.id, OLD.cycle_id, OLD.subscription_id, OLD.customer_id, OLD.number, OLD.currency,
      OLD.net, OLD.tax, OLD.total, OLD.issued_at, OLD.kind, OLD.rules, OLD.facts,
      OLD.facts_digest, OLD.discount, OLD.credit) THEN
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
"""

# `amount` is what a line adds to the net. Where its price contains tax, the gross is more.
LINES = """
ALTER TABLE invoice_lines
  DROP CONSTRAINT invoice_lines_quantity_check,
  ALTER COLUMN quantity TYPE numeric,
  ALTER COLUMN unit_amount DROP NOT NULL,
  ADD COLUMN item text NOT NULL DEFAULT 'base',
  ADD COLUMN period_start timestamptz,
  ADD COLUMN period_end timestamptz,
  ADD COLUMN part integer NOT NULL DEFAULT 1,
  ADD COLUMN whole integer NOT NULL DEFAULT 1,
  ADD COLUMN unit_price text,
  ADD COLUMN discount bigint NOT NULL DEFAULT 0,
  ADD COLUMN tax bigint NOT NULL DEFAULT 0,
  ADD COLUMN tax_included boolean NOT NULL DEFAULT false,
  ADD COLUMN gross bigint NOT NULL GENERATED ALWAYS AS
    (amount + discount + CASE WHEN tax_included THEN tax ELSE 0 END) STORED,
  ADD COLUMN detail jsonb NOT NULL DEFAULT '[]',
  ADD CONSTRAINT invoice_lines_quantity CHECK (quantity >= 0),
  ADD CONSTRAINT invoice_lines_share CHECK (part BETWEEN 0 AND whole AND whole >= 1),
  ADD CONSTRAINT invoice_lines_period
    CHECK ((period_start IS NULL) = (period_end IS NULL) AND period_start < period_end),
  ADD CONSTRAINT invoice_lines_parts CHECK (discount >= 0 AND tax >= 0);

CREATE OR REPLACE FUNCTION check_invoice_lines() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE bad text;
BEGIN
  SELECT i.number INTO bad
    FROM (SELECT invoice_id, sum(amount) AS amount, sum(discount) AS discount, sum(tax) AS tax,
                 count(*) AS lines, max(line) AS last
            FROM added GROUP BY invoice_id) a
    JOIN public.invoices i ON i.id = a.invoice_id
   WHERE a.amount <> i.net OR a.discount <> i.discount OR a.lines <> a.last
      OR (a.tax <> i.tax AND i.facts IS NOT NULL)
   LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'invoice %: its lines are numbered 1..n, come in one statement and add up to net',
      bad USING ERRCODE = 'check_violation';
  END IF;
  RETURN NULL;
END
$$;
"""

ITEMS = """
CREATE TABLE subscription_items (
  subscription_id  uuid NOT NULL REFERENCES subscriptions,
  item             text NOT NULL CHECK (item ~ '^[a-z0-9]+(-[a-z0-9]+)*$'),
  quantity         integer NOT NULL CHECK (quantity BETWEEN 0 AND 1000000),
  addon            text,
  addon_version    date,
  billed_in        uuid REFERENCES invoices,
  PRIMARY KEY (subscription_id, item),
  CONSTRAINT subscription_items_of_addon CHECK ((addon IS NULL) = (addon_version IS NULL))
);
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON subscription_items
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE subscription_items ENABLE ALWAYS TRIGGER no_truncate;
GRANT SELECT, INSERT ON subscription_items TO billing_app;
GRANT UPDATE (quantity, addon_version, billed_in) ON subscription_items TO billing_app;
"""

CREDIT = """
CREATE TABLE credit_grants (
  id            uuid PRIMARY KEY,
  customer_id   uuid NOT NULL REFERENCES customers,
  currency      text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  amount        bigint NOT NULL CHECK (amount > 0),
  source        text NOT NULL CHECK (source IN ('goodwill', 'bought', 'credit_note', 'small')),
  priority      smallint NOT NULL DEFAULT 50 CHECK (priority BETWEEN 1 AND 100),
  subscription_id  uuid REFERENCES subscriptions,
  effective_at  timestamptz NOT NULL,
  expires_at    timestamptz,
  reason        text NOT NULL,
  invoice_id    uuid REFERENCES invoices,
  actor         text NOT NULL,
  created_at    timestamptz NOT NULL,
  month         date NOT NULL DEFAULT (date_trunc('month', now() AT TIME ZONE 'UTC'))::date,
  CONSTRAINT credit_grants_expire_later CHECK (expires_at > effective_at),
  CONSTRAINT credit_grants_of_a_currency UNIQUE (id, customer_id, currency)
);
CREATE INDEX credit_grants_customer ON credit_grants (customer_id);

CREATE TABLE credit_moves (
  grant_id     uuid NOT NULL,
  n            integer NOT NULL CHECK (n >= 0),
  customer_id  uuid NOT NULL,
  currency     text NOT NULL,
  kind         text NOT NULL
    CHECK (kind IN ('granted', 'applied', 'returned', 'expired', 'refunded')),
  amount       bigint NOT NULL CHECK (amount > 0),
  left_before  bigint NOT NULL CHECK (left_before >= 0),
  left_after   bigint NOT NULL CHECK (left_after >= 0),
  invoice_id   uuid REFERENCES invoices,
  at           timestamptz NOT NULL,
  actor        text NOT NULL,
  month        date NOT NULL DEFAULT (date_trunc('month', now() AT TIME ZONE 'UTC'))::date,
  follows_n    integer GENERATED ALWAYS AS (CASE WHEN n > 0 THEN n - 1 END) STORED,
  PRIMARY KEY (grant_id, n),
  CONSTRAINT credit_moves_left UNIQUE (grant_id, n, left_after),
  CONSTRAINT credit_moves_of_grant FOREIGN KEY (grant_id, customer_id, currency)
    REFERENCES credit_grants (id, customer_id, currency),
  CONSTRAINT credit_moves_follow FOREIGN KEY (grant_id, follows_n, left_before)
    REFERENCES credit_moves (grant_id, n, left_after),
  CONSTRAINT credit_moves_begin CHECK ((n = 0) = (kind = 'granted')),
  CONSTRAINT credit_moves_begin_empty CHECK (n > 0 OR left_before = 0),
  CONSTRAINT credit_moves_add_up CHECK (left_after - left_before =
    CASE WHEN kind IN ('granted', 'returned') THEN amount ELSE -amount END),
  CONSTRAINT credit_moves_of_an_invoice
    CHECK (kind NOT IN ('applied', 'returned') OR invoice_id IS NOT NULL)
);
CREATE INDEX credit_moves_invoice ON credit_moves (invoice_id) WHERE invoice_id IS NOT NULL;

CREATE FUNCTION check_granted() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF NEW.amount <> (SELECT amount FROM public.credit_grants WHERE id = NEW.grant_id) THEN
    RAISE EXCEPTION 'grant %: its first move is its amount', NEW.grant_id
      USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER check_granted BEFORE INSERT ON credit_moves
  FOR EACH ROW WHEN (NEW.kind = 'granted') EXECUTE FUNCTION check_granted();
ALTER TABLE credit_moves ENABLE ALWAYS TRIGGER check_granted;
"""

APPEND_ONLY = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table}
  FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON {table}
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE {table} ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE {table} ENABLE ALWAYS TRIGGER no_truncate;
GRANT SELECT ON {table} TO billing_app;
"""
# The application chooses no month of a row.
GRANTED = {
    "credit_grants": "id, customer_id, currency, amount, source, priority, subscription_id, effective_at,"
    " expires_at, reason, invoice_id, actor, created_at",
    "credit_moves": "grant_id, n, customer_id, currency, kind, amount, left_before, left_after,"
    " invoice_id, at, actor",
}

# A period that costs nothing by its plan has a cycle and no invoice.
FREE = """
ALTER TABLE cycles DROP CONSTRAINT cycles_kind_check,
  ADD CONSTRAINT cycles_kind CHECK (kind IN ('trial', 'regular', 'paused', 'skipped', 'free'));
"""


def upgrade() -> None:
    op.execute(INVOICES)
    op.execute(LINES)
    op.execute(ITEMS)
    op.execute(CREDIT)
    for table, columns in GRANTED.items():
        op.execute(APPEND_ONLY.format(table=table))
        op.execute(f"GRANT INSERT ({columns}) ON {table} TO billing_app")
    op.execute(FREE)


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
