"""An API key may be for sending usage alone.

Revision ID: 0057
Revises: 0056
"""

from alembic import op

revision = "0057"
down_revision = "0056"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.execute("ALTER TABLE api_keys DROP CONSTRAINT api_keys_scopes_check")
    op.execute(
        "ALTER TABLE api_keys ADD CONSTRAINT api_keys_scopes_check CHECK ("
        "scopes <@ ARRAY['read', 'charge', 'refund', 'usage', 'admin'] AND cardinality(scopes) > 0)"
    )


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
