"""Credit that customers buy: an invoice whose payment grants it, and what takes it back.

What an order grants stands beside its invoice; the grant is made once, when the invoice is paid.
Money that goes back of its payment takes what nobody used: the move names the refund or the
dispute, and is undone where that is.

Revision ID: 0051
Revises: 0050
"""

from alembic import op

revision = "0051"
down_revision = "0050"
branch_labels: str | None = None
depends_on: str | None = None

TOP_UPS = """
ALTER TABLE invoices ADD CONSTRAINT invoices_of_credit
  CHECK (kind <> 'top_up' OR (credit, tax, discount) = (0, 0, 0) AND recognise_at IS NULL);
CREATE TABLE top_ups (
  invoice_id   uuid PRIMARY KEY REFERENCES invoices,
  customer_id  uuid NOT NULL REFERENCES customers,
  priority     smallint NOT NULL CHECK (priority BETWEEN 1 AND 100),
  valid_days   integer CHECK (valid_days BETWEEN 1 AND 36500),
  reason       text NOT NULL,
  actor        text NOT NULL,
  created_at   timestamptz NOT NULL,
  month        date NOT NULL DEFAULT (date_trunc('month', now() AT TIME ZONE 'UTC'))::date
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON top_ups
  FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON top_ups
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE top_ups ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE top_ups ENABLE ALWAYS TRIGGER no_truncate;
GRANT SELECT ON top_ups TO billing_app;
GRANT INSERT (invoice_id, customer_id, priority, valid_days, reason, actor, created_at)
  ON top_ups TO billing_app;
"""

GRANTED = """
CREATE UNIQUE INDEX credit_grants_bought_once ON credit_grants (invoice_id)
  WHERE source = 'bought';
ALTER TABLE credit_grants ADD CONSTRAINT credit_grants_bought_by_invoice
  CHECK (source <> 'bought' OR invoice_id IS NOT NULL);
CREATE FUNCTION check_bought() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM public.invoices i
                  WHERE i.id = NEW.invoice_id AND i.kind = 'top_up' AND i.status = 'paid'
                    AND (i.customer_id, i.currency, i.total)
                        = (NEW.customer_id, NEW.currency, NEW.amount)) THEN
    RAISE EXCEPTION 'grant %: what is bought is what a paid invoice of credit comes to', NEW.id
      USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER check_bought BEFORE INSERT ON credit_grants
  FOR EACH ROW WHEN (NEW.source = 'bought') EXECUTE FUNCTION check_bought();
ALTER TABLE credit_grants ENABLE ALWAYS TRIGGER check_bought;
"""

MOVES = """
ALTER TABLE credit_moves
  ADD COLUMN refund_id uuid REFERENCES refunds,
  ADD COLUMN dispute_id uuid REFERENCES disputes,
  DROP CONSTRAINT credit_moves_kind_check,
  ADD CONSTRAINT credit_moves_kind_check CHECK (kind IN
    ('granted', 'applied', 'returned', 'expired', 'refunded', 'restored')),
  DROP CONSTRAINT credit_moves_add_up,
  ADD CONSTRAINT credit_moves_add_up CHECK (left_after - left_before =
    CASE WHEN kind IN ('granted', 'returned', 'restored') THEN amount ELSE -amount END),
  ADD CONSTRAINT credit_moves_of_money CHECK (num_nonnulls(refund_id, dispute_id) =
    CASE WHEN kind IN ('refunded', 'restored') THEN 1 ELSE 0 END);
CREATE INDEX credit_moves_refund ON credit_moves (refund_id) WHERE refund_id IS NOT NULL;
CREATE INDEX credit_moves_dispute ON credit_moves (dispute_id) WHERE dispute_id IS NOT NULL;
GRANT INSERT (refund_id, dispute_id) ON credit_moves TO billing_app;
"""


def upgrade() -> None:
    # Checks of this transaction that are still to come would hold back a change of the table.
    op.execute("SET CONSTRAINTS ALL IMMEDIATE")
    op.execute(TOP_UPS)
    op.execute(GRANTED)
    op.execute(MOVES)


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
