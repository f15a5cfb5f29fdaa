"""Sessions of the console, two scopes for what people do there, and indexes for its pages.

Revision ID: 0065
Revises: 0064
"""

from alembic import op

revision = "0065"
down_revision = "0064"
branch_labels: str | None = None
depends_on: str | None = None

SESSIONS = """
-- The token is in the browser alone; what it opens follows from its key, as long as that is valid.
CREATE TABLE console_sessions (
  token_hash  text PRIMARY KEY CHECK (token_hash ~ '^[0-9a-f]{64}$'),
  key_id      text NOT NULL REFERENCES api_keys,
  created_at  timestamptz NOT NULL,
  expires_at  timestamptz NOT NULL,
  ended_at    timestamptz,
  CONSTRAINT console_sessions_expire_later CHECK (expires_at > created_at)
);
CREATE INDEX console_sessions_key ON console_sessions (key_id);
CREATE FUNCTION guard_console_session() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'a session of the console can''t be deleted'
      USING ERRCODE = 'restrict_violation';
  END IF;
  IF (NEW.token_hash, NEW.key_id, NEW.created_at, NEW.expires_at)
     IS DISTINCT FROM (OLD.token_hash, OLD.key_id, OLD.created_at, OLD.expires_at) THEN
    RAISE EXCEPTION 'a session of the console: what it opens can''t change'
      USING ERRCODE = 'restrict_violation';
  END IF;
  IF OLD.ended_at IS NOT NULL AND NEW.ended_at IS DISTINCT FROM OLD.ended_at THEN
    RAISE EXCEPTION 'a session of the console stays ended'
      USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER guard BEFORE UPDATE OR DELETE ON console_sessions
  FOR EACH ROW EXECUTE FUNCTION guard_console_session();
ALTER TABLE console_sessions ENABLE ALWAYS TRIGGER guard;
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON console_sessions
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE console_sessions ENABLE ALWAYS TRIGGER no_truncate;
GRANT SELECT, INSERT, UPDATE ON console_sessions TO billing_app;
"""
SCOPES = """
ALTER TABLE api_keys DROP CONSTRAINT api_keys_scopes_check;
ALTER TABLE api_keys ADD CONSTRAINT api_keys_scopes_check CHECK (
  scopes <@ ARRAY['read', 'charge', 'refund', 'usage', 'operate', 'close', 'admin']
  AND cardinality(scopes) > 0);
"""
INDEXES = """
CREATE INDEX payments_declined ON payments (id)
  WHERE state = 'CREATED' AND decline_class IS NOT NULL;
CREATE INDEX payments_failed ON payments (id) WHERE state = 'FAILED';
CREATE INDEX customers_email ON customers (lower(email)) WHERE email IS NOT NULL;
CREATE INDEX payment_methods_last4 ON payment_methods (last4) WHERE last4 IS NOT NULL;
"""


def upgrade() -> None:
    op.execute(SESSIONS)
    op.execute(SCOPES)
    op.execute(INDEXES)


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
