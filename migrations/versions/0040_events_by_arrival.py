"""An index for the events that arrived lately, as `billing webhooks listen` reads them.

Of blocks, because rows are kept in the order of their arrival: it costs a delivery next to nothing.

Revision ID: 0040
Revises: 0039
"""

from alembic import op

revision = "0040"
down_revision = "0039"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.execute(
        "CREATE INDEX provider_events_received ON provider_events"
        " USING brin (received_at) WITH (autosummarize = on, pages_per_range = 32)"
    )


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
