"""A fence that a restore wrote isn't one that a comparison wrote.

Data that is restored into a database that runs leaves its server and its tables as they are, and
brings the fences of the backup along. So a fence names the transaction that wrote it, which
PostgreSQL itself keeps with the row: a row that was copied in was written by another one. The file
of the calls is part of what names the database, as emptying the table makes another one.

Revision ID: 0039
Revises: 0038
"""

from alembic import op

revision = "0039"
down_revision = "0038"
branch_labels: str | None = None
depends_on: str | None = None

RESTORED = """
ALTER TABLE provider_fences ADD COLUMN written_by text;

CREATE OR REPLACE FUNCTION this_database() RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
  SELECT extract(epoch FROM pg_catalog.pg_postmaster_start_time()) || ':' || d.oid || ':'
         || 'public.provider_fences'::pg_catalog.regclass::oid || ':'
         || pg_catalog.pg_relation_filenode('public.provider_calls'::pg_catalog.regclass)
    FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()
$$;
CREATE FUNCTION this_transaction() RETURNS text
LANGUAGE sql VOLATILE SET search_path = pg_catalog AS $$
  SELECT pg_catalog.xid(pg_catalog.pg_current_xact_id())::text
$$;
CREATE OR REPLACE FUNCTION may_send(account text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
  SELECT EXISTS (SELECT FROM public.provider_fences f
                  WHERE f.provider = account AND f.state = 'open'
                    AND f.checked_database = public.this_database()
                    AND f.written_by = f.xmin::text)
$$;
"""


def upgrade() -> None:
    op.execute(RESTORED)


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
