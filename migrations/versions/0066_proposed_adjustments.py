"""An adjustment of a break may be proposed, for another person to agree to.

Revision ID: 0066
Revises: 0065
"""

from alembic import op

revision = "0066"
down_revision = "0065"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.execute("ALTER TABLE break_notes DROP CONSTRAINT break_notes_kind")
    op.execute(
        "ALTER TABLE break_notes ADD CONSTRAINT break_notes_kind CHECK ("
        "kind IN ('written', 'assigned', 'unassigned', 'proposed', 'resolved'))"
    )


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
