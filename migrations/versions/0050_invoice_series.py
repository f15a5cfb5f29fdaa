"""Numbers of invoices that follow each other without a gap, for all invoices of a seller.

A number of a series follows the one before, names an invoice, and is given in the transaction that
issues it. The counter of a series is a row, which is locked until that transaction ends, so two
at once wait for each other; at its end the last number that it counts has been given.

Revision ID: 0050
Revises: 0049
"""

from alembic import op

revision = "0050"
down_revision = "0049"
branch_labels: str | None = None
depends_on: str | None = None

NUMBERS = """
CREATE TABLE invoice_series (
  series  text PRIMARY KEY CHECK (series ~ '^[A-Z0-9]+(-[A-Z0-9]+)*$'),
  last    integer NOT NULL CHECK (last >= 1)
);
CREATE TABLE invoice_numbers (
  series     text NOT NULL,
  n          integer NOT NULL CHECK (n >= 1),
  number     text NOT NULL GENERATED ALWAYS AS
               (series || '-' || lpad(n::text, greatest(4, length(n::text)), '0')) STORED,
  follows_n  integer GENERATED ALWAYS AS (CASE WHEN n > 1 THEN n - 1 END) STORED,
  PRIMARY KEY (series, n),
  CONSTRAINT invoice_numbers_once UNIQUE (number),
  CONSTRAINT invoice_numbers_follow FOREIGN KEY (series, follows_n)
    REFERENCES invoice_numbers (series, n),
  CONSTRAINT invoice_numbers_of_invoices FOREIGN KEY (number) REFERENCES invoices (number)
);
ALTER TABLE invoice_series ADD CONSTRAINT invoice_series_given FOREIGN KEY (series, last)
  REFERENCES invoice_numbers (series, n) DEFERRABLE INITIALLY DEFERRED;
"""

GUARDS = """
CREATE FUNCTION guard_invoice_series() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF TG_OP = 'DELETE' OR NEW.series <> OLD.series OR NEW.last <= OLD.last THEN
    RAISE EXCEPTION 'series %: its numbers go on from %', OLD.series, OLD.last
      USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER guard BEFORE UPDATE OR DELETE ON invoice_series
  FOR EACH ROW EXECUTE FUNCTION guard_invoice_series();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON invoice_numbers
  FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON invoice_series
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON invoice_numbers
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE invoice_series ENABLE ALWAYS TRIGGER guard;
ALTER TABLE invoice_series ENABLE ALWAYS TRIGGER no_truncate;
ALTER TABLE invoice_numbers ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE invoice_numbers ENABLE ALWAYS TRIGGER no_truncate;
GRANT SELECT ON invoice_series, invoice_numbers TO billing_app;
GRANT INSERT (series, last), UPDATE (last) ON invoice_series TO billing_app;
GRANT INSERT (series, n) ON invoice_numbers TO billing_app;
"""


def upgrade() -> None:
    op.execute(NUMBERS)
    op.execute(GUARDS)


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
