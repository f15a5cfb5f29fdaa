"""Cycles whose digest was computed in another time zone than UTC, each with that zone.

Before connections were verified, one through a pooler could have the zone of the server. The digest
of a cycle that was closed over it is right in that zone alone, and a closed cycle never changes.

Revision ID: 0036
Revises: 0035
"""

from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels: str | None = None
depends_on: str | None = None

ZONES = """
CREATE TABLE digest_zones (
  cycle_id  uuid PRIMARY KEY REFERENCES cycles,
  zone      text NOT NULL,
  found_at  timestamptz NOT NULL DEFAULT now(),
  actor     text NOT NULL
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON digest_zones
  FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON digest_zones
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE digest_zones ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE digest_zones ENABLE ALWAYS TRIGGER no_truncate;
GRANT SELECT, INSERT (cycle_id, zone, actor) ON digest_zones TO billing_app;
"""


def upgrade() -> None:
    op.execute(ZONES)


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
