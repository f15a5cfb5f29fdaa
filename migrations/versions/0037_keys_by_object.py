"""An idempotency key is found by the object that its request made, which names it at the provider.

Revision ID: 0037
Revises: 0036
"""

from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.execute("CREATE INDEX idempotency_keys_resource ON idempotency_keys (resource_id)")


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
