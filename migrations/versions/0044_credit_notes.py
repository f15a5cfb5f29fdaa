"""Credit notes: what is given back of an invoice's lines, by documents with numbers of their own.

The numbers of a series follow each other without a gap. Each line of a note carries what all notes
of that invoice's line come to with it, and follows the one before, so that two at once can't both
give back what is left of a line. What a note gives back is a grant of credit, a refund, or money
that was paid outside of the provider; both a grant and a refund have the note's amount.

Revision ID: 0044
Revises: 0043
"""

from alembic import op

revision = "0044"
down_revision = "0043"
branch_labels: str | None = None
depends_on: str | None = None

NOTES = """
CREATE TABLE credit_notes (
  id            uuid PRIMARY KEY,
  series        text NOT NULL CHECK (series <> ''),
  n             integer NOT NULL CHECK (n >= 1),
  number        text NOT NULL GENERATED ALWAYS AS
                  (series || '-C' || lpad(n::text, greatest(4, length(n::text)), '0')) STORED,
  invoice_id    uuid NOT NULL REFERENCES invoices,
  subscription_id  uuid REFERENCES subscriptions,
  customer_id   uuid NOT NULL REFERENCES customers,
  currency      text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  net           bigint NOT NULL CHECK (net >= 0),
  tax           bigint NOT NULL CHECK (tax >= 0),
  total         bigint NOT NULL GENERATED ALWAYS AS (net + tax) STORED,
  discount      bigint NOT NULL CHECK (discount >= 0),
  recognised    bigint NOT NULL CHECK (recognised >= 0),
  deferred      bigint NOT NULL CHECK (deferred >= 0),
  destination   text NOT NULL CHECK (destination IN ('credit', 'refund', 'outside')),
  reason        text NOT NULL,
  actor         text NOT NULL,
  created_at    timestamptz NOT NULL,
  month         date NOT NULL DEFAULT (date_trunc('month', now() AT TIME ZONE 'UTC'))::date,
  follows_n     integer GENERATED ALWAYS AS (CASE WHEN n > 1 THEN n - 1 END) STORED,
  CONSTRAINT credit_notes_number UNIQUE (number),
  CONSTRAINT credit_notes_series UNIQUE (series, n),
  CONSTRAINT credit_notes_follow FOREIGN KEY (series, follows_n)
    REFERENCES credit_notes (series, n),
  CONSTRAINT credit_notes_of_an_invoice UNIQUE (id, invoice_id),
  CONSTRAINT credit_notes_given UNIQUE (id, customer_id, currency, total),
  CONSTRAINT credit_notes_give_something CHECK (total > 0),
  CONSTRAINT credit_notes_parts_add_up CHECK (recognised + deferred = net)
);
CREATE INDEX credit_notes_invoice ON credit_notes (invoice_id);
CREATE INDEX credit_notes_customer ON credit_notes (customer_id);

CREATE TABLE credit_note_lines (
  note_id       uuid NOT NULL,
  invoice_id    uuid NOT NULL,
  line          smallint NOT NULL,
  n             integer NOT NULL CHECK (n >= 1),
  gross         bigint NOT NULL CHECK (gross > 0),
  discount      bigint NOT NULL CHECK (discount >= 0),
  net           bigint NOT NULL CHECK (net >= 0),
  tax           bigint NOT NULL CHECK (tax >= 0),
  all_gross     bigint NOT NULL,
  all_discount  bigint NOT NULL,
  all_net       bigint NOT NULL,
  all_tax       bigint NOT NULL,
  follows_n     integer GENERATED ALWAYS AS (CASE WHEN n > 1 THEN n - 1 END) STORED,
  gross_before     bigint NOT NULL GENERATED ALWAYS AS (all_gross - gross) STORED,
  discount_before  bigint NOT NULL GENERATED ALWAYS AS (all_discount - discount) STORED,
  net_before       bigint NOT NULL GENERATED ALWAYS AS (all_net - net) STORED,
  tax_before       bigint NOT NULL GENERATED ALWAYS AS (all_tax - tax) STORED,
  PRIMARY KEY (note_id, line),
  CONSTRAINT credit_note_lines_of_note FOREIGN KEY (note_id, invoice_id)
    REFERENCES credit_notes (id, invoice_id),
  CONSTRAINT credit_note_lines_of_line FOREIGN KEY (invoice_id, line)
    REFERENCES invoice_lines (invoice_id, line),
  CONSTRAINT credit_note_lines_in_order UNIQUE (invoice_id, line, n),
  CONSTRAINT credit_note_lines_so_far
    UNIQUE (invoice_id, line, n, all_gross, all_discount, all_net, all_tax),
  CONSTRAINT credit_note_lines_follow FOREIGN KEY
    (invoice_id, line, follows_n, gross_before, discount_before, net_before, tax_before)
    REFERENCES credit_note_lines (invoice_id, line, n, all_gross, all_discount, all_net, all_tax),
  CONSTRAINT credit_note_lines_begin_empty
    CHECK (n > 1 OR (all_gross, all_discount, all_net, all_tax) = (gross, discount, net, tax))
);
"""

# The amounts of an invoice's line never change, so they are compared without a lock.
CHECKS = """
CREATE FUNCTION check_credit_note() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE of_invoice record;
BEGIN
  SELECT number, status, subscription_id, customer_id, currency INTO of_invoice
    FROM public.invoices WHERE id = NEW.invoice_id;
  IF of_invoice.status <> 'paid' THEN
    RAISE EXCEPTION 'invoice % is %: a credit note is of one that is paid',
      of_invoice.number, of_invoice.status USING ERRCODE = 'check_violation';
  END IF;
  IF (NEW.subscription_id, NEW.customer_id, NEW.currency) IS DISTINCT FROM
     (of_invoice.subscription_id, of_invoice.customer_id, of_invoice.currency) THEN
    RAISE EXCEPTION 'a credit note of invoice % is of its subscription, customer and currency',
      of_invoice.number USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER of_a_paid_invoice BEFORE INSERT ON credit_notes
  FOR EACH ROW EXECUTE FUNCTION check_credit_note();

CREATE FUNCTION check_credit_note_line() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE charged record;
BEGIN
  SELECT gross, discount, amount AS net, tax INTO charged
    FROM public.invoice_lines WHERE invoice_id = NEW.invoice_id AND line = NEW.line;
  IF NEW.all_gross > charged.gross OR NEW.all_discount > charged.discount
     OR NEW.all_net > charged.net OR NEW.all_tax > charged.tax THEN
    RAISE EXCEPTION 'line % of invoice %: its credit notes come to more than it', NEW.line,
      NEW.invoice_id USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER within_line BEFORE INSERT ON credit_note_lines
  FOR EACH ROW EXECUTE FUNCTION check_credit_note_line();

CREATE FUNCTION check_credit_note_sums() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE bad text;
BEGIN
  SELECT c.number INTO bad
    FROM public.credit_notes c
    JOIN public.credit_note_lines l ON l.note_id = c.id
   WHERE c.id IN (SELECT note_id FROM added)
   GROUP BY c.id
  HAVING (sum(l.net), sum(l.tax), sum(l.discount)) IS DISTINCT FROM (c.net, c.tax, c.discount)
   LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'credit note %: its lines come in one statement and add up to it', bad
      USING ERRCODE = 'check_violation';
  END IF;
  RETURN NULL;
END
$$;
CREATE TRIGGER add_up AFTER INSERT ON credit_note_lines
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION check_credit_note_sums();

CREATE FUNCTION check_credit_note_given() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM public.credit_note_lines WHERE note_id = NEW.id)
     OR (NEW.destination = 'credit') IS DISTINCT FROM
        EXISTS (SELECT FROM public.credit_grants WHERE note_id = NEW.id)
     OR (NEW.destination = 'refund') IS DISTINCT FROM
        EXISTS (SELECT FROM public.refunds WHERE note_id = NEW.id) THEN
    RAISE EXCEPTION 'credit note %: its lines and what it gives come with it', NEW.number
      USING ERRCODE = 'check_violation';
  END IF;
  RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER given AFTER INSERT ON credit_notes
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_credit_note_given();
"""

# What is given back in all, refunds for notes counted with their notes. A cardholder's bank may
# take more.
WITHIN_INVOICE = """
CREATE FUNCTION check_given_back() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE of_invoice uuid; whole bigint; given bigint;
BEGIN
  IF TG_TABLE_NAME = 'refunds' THEN
    SELECT invoice_id INTO of_invoice FROM public.payments WHERE id = NEW.payment_id;
  ELSE
    of_invoice := NEW.invoice_id;
  END IF;
  SELECT total INTO whole FROM public.invoices WHERE id = of_invoice FOR NO KEY UPDATE;
  IF whole IS NULL THEN
    RETURN NULL;
  END IF;
  SELECT (SELECT coalesce(sum(total), 0) FROM public.credit_notes WHERE invoice_id = of_invoice)
       + (SELECT coalesce(sum(r.amount), 0)
            FROM public.refunds r JOIN public.payments p ON p.id = r.payment_id
           WHERE p.invoice_id = of_invoice AND r.note_id IS NULL
             AND r.state NOT IN ('failed', 'canceled'))
    INTO given;
  IF given > whole THEN
    RAISE EXCEPTION 'invoice %: % is given back, and it came to %', of_invoice, given, whole
      USING ERRCODE = 'check_violation';
  END IF;
  RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER within_invoice AFTER INSERT ON credit_notes
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_given_back();
CREATE CONSTRAINT TRIGGER within_the_invoice AFTER INSERT OR UPDATE OF state ON refunds
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_given_back();
"""

GIVEN = """
ALTER TABLE credit_grants
  ADD COLUMN note_id uuid UNIQUE,
  ADD CONSTRAINT credit_grants_of_note FOREIGN KEY (note_id, customer_id, currency, amount)
    REFERENCES credit_notes (id, customer_id, currency, total),
  ADD CONSTRAINT credit_grants_from_note CHECK ((source = 'credit_note') = (note_id IS NOT NULL));
GRANT INSERT (note_id) ON credit_grants TO billing_app;

ALTER TABLE refunds
  ADD COLUMN note_id uuid UNIQUE,
  ADD CONSTRAINT refunds_of_note FOREIGN KEY (note_id, customer_id, currency, amount)
    REFERENCES credit_notes (id, customer_id, currency, total),
  DROP CONSTRAINT refunds_parts_add_up,
  ADD CONSTRAINT refunds_parts_add_up
    CHECK (recognised + deferred + tax = CASE WHEN note_id IS NULL THEN amount ELSE 0 END);

CREATE OR REPLACE FUNCTION guard_refund() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'refund % can''t be deleted', OLD.id USING ERRCODE = 'restrict_violation';
  END IF;
  IF (NEW.id, NEW.payment_id, NEW.amount, NEW.currency, NEW.recognised, NEW.deferred, NEW.tax,
      NEW.created_at, NEW.note_id)
     IS DISTINCT FROM
     (OLD.id, OLD.payment_id, OLD.amount, OLD.currency, OLD.recognised, OLD.deferred, OLD.tax,
      OLD.created_at, OLD.note_id) THEN
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
    "credit_notes": "id, series, n, invoice_id, subscription_id, customer_id, currency, net, tax,"
    " discount, recognised, deferred, destination, reason, actor, created_at",
    "credit_note_lines": "note_id, invoice_id, line, n, gross, discount, net, tax, all_gross,"
    " all_discount, all_net, all_tax",
}
ALWAYS = {
    "credit_notes": ("of_a_paid_invoice", "given", "within_invoice"),
    "credit_note_lines": ("within_line", "add_up"),
    "refunds": ("within_the_invoice",),
}


def upgrade() -> None:
    # Checks of this transaction that are still to come would hold back a change of the table.
    op.execute("SET CONSTRAINTS ALL IMMEDIATE")
    op.execute(NOTES)
    op.execute(GIVEN)
    op.execute(CHECKS)
    op.execute(WITHIN_INVOICE)
    for table, columns in GRANTED.items():
        op.execute(APPEND_ONLY.format(table=table))
        op.execute(f"GRANT INSERT ({columns}) ON {table} TO billing_app")
    for table, triggers in ALWAYS.items():
        for trigger in triggers:
            op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger}")


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
