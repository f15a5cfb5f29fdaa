"""Which engine this is: an id, made once, that everything it makes at a provider carries.

It stands in the database, so a backup that is restored is the same engine. So is a backup of before
that is restored and migrated again: the id follows from the first customer. Otherwise the charges
made since would pass for another engine's, and be made a second time without a break. Refunds and
customers say which engine asked for them. Those of before have none: their requests were sent
without it, and a request that is sent again must be the same.

Revision ID: 0005
Revises: 0004
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels: str | None = None
depends_on: str | None = None

ENGINE = """
CREATE TABLE engine (
  single boolean PRIMARY KEY DEFAULT true CONSTRAINT engine_is_one CHECK (single),
  id uuid NOT NULL DEFAULT gen_random_uuid()
);
INSERT INTO engine (id)
SELECT coalesce((SELECT md5('engine of ' || c.id)::uuid FROM customers c
                  ORDER BY c.created_at, c.id LIMIT 1),
                gen_random_uuid());
GRANT SELECT ON engine TO billing_app;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON engine
  FOR EACH ROW EXECUTE FUNCTION refuse_change();
ALTER TABLE engine ENABLE ALWAYS TRIGGER append_only;
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON engine
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE engine ENABLE ALWAYS TRIGGER no_truncate;
CREATE FUNCTION this_engine() RETURNS uuid
LANGUAGE sql STABLE SET search_path = pg_catalog AS 'SELECT id FROM public.engine';
"""


def upgrade() -> None:
    op.execute(ENGINE)
    for table in ("customers", "refunds"):
        op.execute(f"ALTER TABLE {table} ADD COLUMN engine_id uuid")
        op.execute(f"ALTER TABLE {table} ALTER COLUMN engine_id SET DEFAULT this_engine()")


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
