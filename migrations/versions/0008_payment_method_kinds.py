"""Payment methods have a kind, and only a card needs brand, last digits and expiry.

Revision ID: 0008
Revises: 0007
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels: str | None = None
depends_on: str | None = None

KINDS = """
ALTER TABLE payment_methods
  ADD COLUMN kind text NOT NULL DEFAULT 'card'
    CONSTRAINT payment_methods_kind CHECK (kind IN ('card', 'wallet', 'bank')),
  ALTER COLUMN brand DROP NOT NULL,
  ALTER COLUMN last4 DROP NOT NULL,
  ALTER COLUMN exp_month DROP NOT NULL,
  ALTER COLUMN exp_year DROP NOT NULL,
  ADD CONSTRAINT payment_methods_card_is_complete
    CHECK (kind <> 'card' OR num_nulls(brand, last4, exp_month, exp_year) = 0),
  ADD CONSTRAINT payment_methods_expiry_is_a_cards
    CHECK (kind = 'card' OR num_nonnulls(exp_month, exp_year) = 0);
ALTER TABLE payment_methods ALTER COLUMN kind DROP DEFAULT;
"""


def upgrade() -> None:
    op.execute(KINDS)


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
