"""An invoice of a cycle has no entry in indexes of what only other invoices have.

Revision ID: 0064
Revises: 0063
"""

from alembic import op

revision = "0064"
down_revision = "0063"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.execute("CREATE INDEX invoices_beside_cycles ON invoices (kind) WHERE kind <> 'cycle'")
    op.execute("DROP INDEX invoices_kinds")
    op.execute("ALTER TABLE invoices DROP CONSTRAINT invoices_one_a_change")
    op.execute(
        "CREATE UNIQUE INDEX invoices_one_a_change ON invoices (change_id)"
        " WHERE change_id IS NOT NULL"
    )


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
