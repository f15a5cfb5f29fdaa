"""Which engine made a customer or a refund can't change: their requests at the provider carry it.

Revision ID: 0016
Revises: 0015
"""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels: str | None = None
depends_on: str | None = None

FUNCTION = """
CREATE FUNCTION keep_engine() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF NEW.engine_id IS DISTINCT FROM OLD.engine_id THEN
    RAISE EXCEPTION '%: the engine that made a row can''t change', TG_TABLE_NAME
      USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END
$$;
"""
TRIGGER = """
CREATE TRIGGER keep_engine BEFORE UPDATE OF engine_id ON {table}
  FOR EACH ROW EXECUTE FUNCTION keep_engine();
ALTER TABLE {table} ENABLE ALWAYS TRIGGER keep_engine;
"""


def upgrade() -> None:
    op.execute(FUNCTION)
    for table in ("customers", "refunds"):
        op.execute(TRIGGER.format(table=table))


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
