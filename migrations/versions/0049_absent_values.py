"""What a change applies to, how many a line is of and what an add-on fits are always known.

A check lets a row through where it can't tell. So a change of quantities or of the plan could leave
out when it begins to hold, and an add-on could fit a plan that has no name. `NaN` is above every
number to PostgreSQL, so a line could have it as its quantity.

Revision ID: 0049
Revises: 0048
"""

from alembic import op

revision = "0049"
down_revision = "0048"
branch_labels: str | None = None
depends_on: str | None = None

CHECKS = """
ALTER TABLE subscription_changes
  DROP CONSTRAINT subscription_changes_apply,
  ADD CONSTRAINT subscription_changes_apply
    CHECK ((kind IN ('quantity', 'plan')) = (applies IS NOT NULL)
           AND coalesce(applies IN ('now', 'period_end'), true));
ALTER TABLE invoice_lines
  DROP CONSTRAINT invoice_lines_quantity,
  ADD CONSTRAINT invoice_lines_quantity CHECK (quantity >= 0 AND quantity < 'Infinity');
ALTER TABLE addons
  ADD CONSTRAINT addons_fit_named_plans CHECK (array_position(fits, NULL) IS NULL);
"""


def upgrade() -> None:
    op.execute(CHECKS)


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
