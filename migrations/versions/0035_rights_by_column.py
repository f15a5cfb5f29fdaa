"""The application chooses no number and no month of a row, and no time of the audit log's lines.

A line with a number far ahead of the sequence would stand first for ever, and every later insertion
would meet it. A payment is of a customer that there is, with that customer's payment method.

Revision ID: 0035
Revises: 0034
"""

from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels: str | None = None
depends_on: str | None = None

# Every table that the application adds to and that has such a column, also one of a later migration
# of which this one doesn't know: the columns are read from the catalog.
BY_COLUMN = """
DO $$
DECLARE
  each record;
  granted text;
BEGIN
  FOR each IN
    SELECT c.oid, c.oid::regclass AS name, p.privilege,
           array_agg(a.attname) FILTER (WHERE a.attidentity <> '' OR a.attname = 'month'
             OR (c.relname = 'audit_log' AND a.attname = 'at')) AS chosen
      FROM pg_class c
      JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public'
      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
      CROSS JOIN (VALUES ('INSERT'), ('UPDATE')) AS p(privilege)
     WHERE c.relkind = 'r' AND has_table_privilege('billing_app', c.oid, p.privilege)
     GROUP BY 1, 2, 3
  LOOP
    CONTINUE WHEN each.chosen IS NULL;
    SELECT string_agg(quote_ident(a.attname), ', ') INTO granted
      FROM pg_attribute a
     WHERE a.attrelid = each.oid AND a.attnum > 0 AND NOT a.attisdropped
       AND a.attname <> ALL (each.chosen);
    EXECUTE format('REVOKE %s ON %s FROM billing_app', each.privilege, each.name);
    EXECUTE format('GRANT %s (%s) ON %s TO billing_app', each.privilege, granted, each.name);
  END LOOP;
END
$$;
ALTER TABLE audit_log ALTER COLUMN at SET DEFAULT now();
"""

OF_A_CUSTOMER = """
ALTER TABLE payments
  DROP CONSTRAINT payments_payment_method_id_fkey,
  ADD CONSTRAINT payments_customer FOREIGN KEY (customer_id) REFERENCES customers,
  ADD CONSTRAINT payments_method_of_customer FOREIGN KEY (customer_id, payment_method_id)
    REFERENCES payment_methods (customer_id, id);
ALTER TABLE attempts
  DROP CONSTRAINT attempts_payment_method_id_fkey,
  ADD CONSTRAINT attempts_method_of_customer FOREIGN KEY (customer_id, payment_method_id)
    REFERENCES payment_methods (customer_id, id);
"""


def upgrade() -> None:
    op.execute(BY_COLUMN)
    op.execute(OF_A_CUSTOMER)


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
