"""Taxes: the rates of the catalog, where customers are, what was decided, and what invoices bear.

What is known of a customer for taxes is dated: what holds at an instant is the last row that holds
from then or earlier. A decision is stored before an invoice is priced by it, and equal requests of a
day have one. What an invoice bears names the decision that it follows from.

Revision ID: 0056
Revises: 0055
"""

from alembic import op

revision = "0056"
down_revision = "0055"
branch_labels: str | None = None
depends_on: str | None = None

# The last row of a rate holds. One that has begun is corrected by another that begins later.
RATES = """
CREATE TABLE tax_rates (
  country       text NOT NULL CHECK (country ~ '^[A-Z]{2}$'),
  region        text NOT NULL DEFAULT '' CHECK (region ~ '^[A-Z0-9]{0,3}$'),
  tax_class     text NOT NULL CHECK (tax_class ~ '^[a-z0-9]+(-[a-z0-9]+)*$'),
  name          text NOT NULL CHECK (name <> ''),
  since         date NOT NULL,
  n             integer NOT NULL CHECK (n >= 1),
  terms         jsonb NOT NULL,
  published_at  timestamptz NOT NULL,
  PRIMARY KEY (country, region, tax_class, name, since, n)
);
"""

FACTS = """
CREATE TABLE customer_tax_facts (
  customer_id  uuid NOT NULL REFERENCES customers,
  n            integer NOT NULL CHECK (n >= 1),
  holds_from   timestamptz NOT NULL,
  country      text CHECK (country ~ '^[A-Z]{2}$'),
  region       text CHECK (region ~ '^[A-Z0-9]{1,3}$'),
  postal_code  text CHECK (postal_code <> ''),
  vat_id       text CHECK (vat_id ~ '^[A-Z]{2}[A-Z0-9]{2,}$'),
  exempt       text CHECK (exempt <> ''),
  asked_at     timestamptz NOT NULL,
  actor        text NOT NULL,
  follows_n    integer GENERATED ALWAYS AS (CASE WHEN n > 1 THEN n - 1 END) STORED,
  PRIMARY KEY (customer_id, n),
  CONSTRAINT customer_tax_facts_follow FOREIGN KEY (customer_id, follows_n)
    REFERENCES customer_tax_facts (customer_id, n),
  CONSTRAINT customer_tax_facts_of_a_place
    CHECK (country IS NOT NULL OR coalesce(region, postal_code, vat_id) IS NULL)
);
CREATE TABLE vat_checks (
  id            uuid PRIMARY KEY,
  vat_id        text NOT NULL CHECK (vat_id ~ '^[A-Z]{2}[A-Z0-9]{2,}$'),
  confirmed     boolean NOT NULL,
  reference     text,
  at            timestamptz NOT NULL
);
CREATE INDEX vat_checks_last ON vat_checks (vat_id, at);
"""

DECISIONS = """
CREATE TABLE tax_decisions (
  id              uuid PRIMARY KEY,
  provider        text NOT NULL,
  request         text NOT NULL,
  request_digest  text NOT NULL,
  response        text NOT NULL,
  at              timestamptz NOT NULL,
  valid_until     timestamptz,
  provider_ref    text,
  CONSTRAINT tax_decisions_digest_of_request
    CHECK (request_digest = encode(sha256(convert_to(request, 'UTF8')), 'hex'))
);
CREATE INDEX tax_decisions_request ON tax_decisions (request_digest);
CREATE TABLE invoice_taxes (
  invoice_id    uuid NOT NULL REFERENCES invoices,
  n             smallint NOT NULL CHECK (n >= 1),
  decision_id   uuid NOT NULL REFERENCES tax_decisions,
  name          text NOT NULL,
  jurisdiction  text NOT NULL CHECK (jurisdiction ~ '^[A-Z]{2}(-[A-Z0-9]{1,3})?$'),
  treatment     text NOT NULL CHECK (treatment IN ('standard', 'reduced', 'zero', 'exempt',
                                                   'reverse_charge', 'not_registered')),
  rate          text NOT NULL,
  included      boolean NOT NULL,
  reason        text NOT NULL,
  base          bigint NOT NULL CHECK (base >= 0),
  amount        bigint NOT NULL CHECK (amount >= 0),
  PRIMARY KEY (invoice_id, n),
  CONSTRAINT invoice_taxes_levied
    CHECK (treatment IN ('standard', 'reduced') OR amount = 0)
);
CREATE INDEX invoice_taxes_decision ON invoice_taxes (decision_id);
CREATE FUNCTION check_invoice_taxes() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE bad text;
BEGIN
  SELECT i.number INTO bad
    FROM (SELECT invoice_id, sum(amount) AS amount, count(*) AS taxes, max(n) AS last
            FROM added GROUP BY invoice_id) a
    JOIN public.invoices i ON i.id = a.invoice_id
   WHERE a.amount <> i.tax OR a.taxes <> a.last
   LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'invoice %: its taxes are numbered 1..n, come in one statement and add up to its tax',
      bad USING ERRCODE = 'check_violation';
  END IF;
  RETURN NULL;
END
$$;
CREATE TRIGGER check_taxes AFTER INSERT ON invoice_taxes
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION check_invoice_taxes();
ALTER TABLE invoice_taxes ENABLE ALWAYS TRIGGER check_taxes;
"""

APPEND_ONLY = "".join(
    f"""
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table}
  FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON {table}
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE {table} ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE {table} ENABLE ALWAYS TRIGGER no_truncate;
GRANT SELECT, INSERT ON {table} TO billing_app;
"""
    for table in ("tax_rates", "customer_tax_facts", "vat_checks", "tax_decisions", "invoice_taxes")
)


def upgrade() -> None:
    for statements in (RATES, FACTS, DECISIONS, APPEND_ONLY):
        op.execute(statements)


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
