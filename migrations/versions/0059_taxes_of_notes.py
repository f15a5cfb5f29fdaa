"""What credit notes take back of each tax, and when the register of VAT ids is asked.

Revision ID: 0059
Revises: 0058
"""

from alembic import op

revision = "0059"
down_revision = "0058"
branch_labels: str | None = None
depends_on: str | None = None

NOTES = """
CREATE TABLE credit_note_taxes (
  note_id     uuid NOT NULL,
  invoice_id  uuid NOT NULL,
  n           smallint NOT NULL,
  base        bigint NOT NULL CHECK (base >= 0),
  amount      bigint NOT NULL CHECK (amount >= 0),
  PRIMARY KEY (note_id, n),
  CONSTRAINT credit_note_taxes_of_note FOREIGN KEY (note_id, invoice_id)
    REFERENCES credit_notes (id, invoice_id),
  CONSTRAINT credit_note_taxes_of_invoice FOREIGN KEY (invoice_id, n)
    REFERENCES invoice_taxes (invoice_id, n)
);
CREATE INDEX credit_note_taxes_invoice ON credit_note_taxes (invoice_id, n);
CREATE FUNCTION check_credit_note_taxes() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE bad text;
BEGIN
  SELECT c.number INTO bad
    FROM (SELECT note_id, sum(amount) AS amount FROM added GROUP BY note_id) a
    JOIN public.credit_notes c ON c.id = a.note_id
   WHERE a.amount <> c.tax
   LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'credit note %: its taxes come in one statement and add up to its tax', bad
      USING ERRCODE = 'check_violation';
  END IF;
  RETURN NULL;
END
$$;
CREATE TRIGGER check_taxes AFTER INSERT ON credit_note_taxes
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION check_credit_note_taxes();
ALTER TABLE credit_note_taxes ENABLE ALWAYS TRIGGER check_taxes;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON credit_note_taxes
  FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON credit_note_taxes
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE credit_note_taxes ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE credit_note_taxes ENABLE ALWAYS TRIGGER no_truncate;
GRANT SELECT, INSERT ON credit_note_taxes TO billing_app;
"""

# One row a VAT id: when it is asked for next. What was said is in vat_checks.
LOOKUPS = """
CREATE TABLE vat_lookups (
  vat_id      text PRIMARY KEY CHECK (vat_id ~ '^[A-Z]{2}[A-Z0-9]{2,}$'),
  next_at     timestamptz NOT NULL,
  held_until  timestamptz,
  failures    integer NOT NULL DEFAULT 0 CHECK (failures >= 0),
  last_error  text
);
CREATE INDEX vat_lookups_due ON vat_lookups (next_at);
CREATE TRIGGER no_deletion BEFORE DELETE ON vat_lookups
  FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON vat_lookups
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE vat_lookups ENABLE ALWAYS TRIGGER no_deletion;
ALTER TABLE vat_lookups ENABLE ALWAYS TRIGGER no_truncate;
GRANT SELECT, INSERT ON vat_lookups TO billing_app;
GRANT UPDATE (next_at, held_until, failures, last_error) ON vat_lookups TO billing_app;
"""


def upgrade() -> None:
    op.execute(NOTES)
    op.execute(LOOKUPS)


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
