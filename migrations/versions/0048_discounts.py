"""Which redeemed coupon took what off an invoice.

How often a redemption was used is counted here; there is no number beside it that could differ.

Revision ID: 0048
Revises: 0047
"""

from alembic import op

revision = "0048"
down_revision = "0047"
branch_labels: str | None = None
depends_on: str | None = None

DISCOUNTS = """
CREATE TABLE invoice_discounts (
  invoice_id     uuid NOT NULL REFERENCES invoices,
  redemption_id  uuid NOT NULL REFERENCES redemptions,
  base           bigint NOT NULL,
  amount         bigint NOT NULL CHECK (amount > 0),
  PRIMARY KEY (invoice_id, redemption_id),
  CONSTRAINT invoice_discounts_within_base CHECK (amount <= base)
);
CREATE INDEX invoice_discounts_redemption ON invoice_discounts (redemption_id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON invoice_discounts
  FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON invoice_discounts
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE invoice_discounts ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE invoice_discounts ENABLE ALWAYS TRIGGER no_truncate;
GRANT SELECT, INSERT ON invoice_discounts TO billing_app;
"""


def upgrade() -> None:
    op.execute(DISCOUNTS)


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
