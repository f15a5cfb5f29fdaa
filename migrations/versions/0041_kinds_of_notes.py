"""A note on a break that no person wrote is a kind with its facts; its sentence is made when shown.

Notes of earlier versions keep their words, of whatever kind they are.

Revision ID: 0041
Revises: 0040
"""

from alembic import op

revision = "0041"
down_revision = "0040"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE break_notes
          ADD COLUMN kind text NOT NULL DEFAULT 'written',
          ADD COLUMN facts jsonb NOT NULL DEFAULT '{}',
          ALTER COLUMN words DROP NOT NULL,
          ADD CONSTRAINT break_notes_kind
            CHECK (kind IN ('written', 'assigned', 'unassigned', 'resolved')),
          ADD CONSTRAINT break_notes_tell CHECK (kind <> 'written' OR words IS NOT NULL)
        """
    )
    op.execute("ALTER TABLE break_notes ALTER COLUMN kind DROP DEFAULT")
    op.execute("GRANT INSERT (kind, facts) ON break_notes TO billing_app")


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
