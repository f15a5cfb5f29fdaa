"""Ids of a provider are looked up within an account, so indexes of them end with the account.

Else the planner may take an index that begins with the account, and reads all of it for each row.

Revision ID: 0022
Revises: 0021
"""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels: str | None = None
depends_on: str | None = None

INDEXES = """
DROP INDEX settlement_rows_payment, settlement_rows_source, payments_provider_charge,
           breaks_transaction;
CREATE INDEX settlement_rows_payment ON settlement_rows (provider_payment_id, provider);
CREATE INDEX settlement_rows_source ON settlement_rows (source_id, provider)
  WHERE kind <> 'charge';
CREATE INDEX payments_provider_charge ON payments (provider_charge_id, provider)
  WHERE provider_charge_id IS NOT NULL;
CREATE INDEX breaks_transaction ON breaks (provider_transaction_id, provider);
"""


def upgrade() -> None:
    op.execute(INDEXES)


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
