"""Nothing is sent to a provider before this database was compared with what the provider holds.

A database that was restored, copied or promoted knows less than the provider: what is not written
here was sent all the same, and would be sent again. `this_database` names the present state of the
database; it is another one after every start of the server and in every copy. A call is counted as
sent only while its account was checked for this state and not found behind.

Revision ID: 0031
Revises: 0030
"""

from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels: str | None = None
depends_on: str | None = None

FENCES = """
CREATE TABLE provider_fences (
  provider   text PRIMARY KEY,
  state      text NOT NULL CHECK (state IN ('open', 'recovering')),
  since      timestamptz NOT NULL,
  cause      text CHECK (cause IN ('behind', 'another_database')),
  evidence   jsonb NOT NULL DEFAULT '{}',
  known_until timestamptz,
  checked_database text NOT NULL,
  CONSTRAINT provider_fences_recovering_with_cause
    CHECK ((state = 'recovering') = (cause IS NOT NULL))
);
GRANT SELECT, INSERT, UPDATE ON provider_fences TO billing_app;

-- A restore starts a server, or makes another database of it. A promoted replica was started at
-- another moment than its primary. A restore into a database that is there makes its tables anew.
CREATE FUNCTION this_database() RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
  SELECT extract(epoch FROM pg_catalog.pg_postmaster_start_time()) || ':' || d.oid || ':'
         || 'public.provider_fences'::pg_catalog.regclass::oid
    FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()
$$;
CREATE FUNCTION may_send(account text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
  SELECT EXISTS (SELECT FROM public.provider_fences f
                  WHERE f.provider = account AND f.state = 'open'
                    AND f.checked_database = public.this_database())
$$;

-- While objects are adopted, calls are written that nobody sends.
CREATE FUNCTION refuse_fenced_send() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF NOT public.may_send(NEW.provider)
     AND coalesce(current_setting('billing.adopting', true), '') <> 'on' THEN
    RAISE EXCEPTION 'call %: the account % was not compared with this database',
      NEW.idempotency_key, NEW.provider USING ERRCODE = 'PF001', DETAIL = NEW.provider;
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER waits_for_fence BEFORE INSERT OR UPDATE OF sends ON provider_calls
  FOR EACH ROW WHEN (NEW.finished_at IS NULL) EXECUTE FUNCTION refuse_fenced_send();
ALTER TABLE provider_calls ENABLE ALWAYS TRIGGER waits_for_fence;

-- Open calls are few and have an index of their own. Were they in this one, the search for the oldest
-- open call would walk through all that ended.
CREATE INDEX provider_calls_newest ON provider_calls (provider, first_sent_at)
  WHERE finished_at IS NOT NULL;
"""


def upgrade() -> None:
    op.execute(FENCES)


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
