"""The ledger: accounts, entries and postings that nobody can edit, in a schema of their own.

Revision ID: 0002
Revises: 0001
"""

from alembic import op

revision = "0002"
down_revision: str | None = "0001"
branch_labels: str | None = None
depends_on: str | None = None

TABLES = """
CREATE SCHEMA ledger;

CREATE TABLE ledger.accounts (
  id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  code      text NOT NULL CHECK (code ~ '^[a-z][a-z_]{0,62}$'),
  currency  text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  owner_id  uuid,
  class     text NOT NULL CHECK (class IN ('A', 'L', 'E', 'R', 'X')),
  CONSTRAINT accounts_id_currency UNIQUE (id, currency),
  CONSTRAINT accounts_one_each UNIQUE NULLS NOT DISTINCT (code, currency, owner_id)
);

CREATE TABLE ledger.entries (
  id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind               text NOT NULL
    CONSTRAINT entries_kind CHECK (kind ~ '^[a-z][a-z0-9_]{0,62}$'),
  source_key         text NOT NULL
    CONSTRAINT entries_source_key UNIQUE
    CONSTRAINT entries_source_key_form
      CHECK (source_key ~ '^[a-z][a-z0-9_]*:[A-Za-z0-9_:./+-]{1,200}$'),
  payload_hash       bytea NOT NULL CHECK (octet_length(payload_hash) = 32),
  effective_at       timestamptz NOT NULL,
  posted_at          timestamptz NOT NULL DEFAULT now(),
  cycle_id           uuid CONSTRAINT entries_cycle REFERENCES public.cycles (id),
  reverses_entry_id  bigint CONSTRAINT entries_reverses REFERENCES ledger.entries (id),
  first_line         smallint NOT NULL DEFAULT 1 CHECK (first_line = 1),
  CONSTRAINT entries_not_itself CHECK (reverses_entry_id <> id)
);
-- Partial, so that the many entries that reverse nothing don't pay for the promise.
CREATE UNIQUE INDEX entries_reversed_once ON ledger.entries (reverses_entry_id)
  WHERE reverses_entry_id IS NOT NULL;
CREATE INDEX entries_cycle_id ON ledger.entries (cycle_id);

CREATE TABLE ledger.postings (
  entry_id    bigint NOT NULL CONSTRAINT postings_entry REFERENCES ledger.entries (id),
  line        smallint NOT NULL,
  account_id  bigint NOT NULL,
  amount      bigint NOT NULL CONSTRAINT postings_amount_not_zero CHECK (amount <> 0),
  currency    text NOT NULL,
  PRIMARY KEY (entry_id, line),
  CONSTRAINT postings_account_currency
    FOREIGN KEY (account_id, currency) REFERENCES ledger.accounts (id, currency)
);
CREATE INDEX postings_account ON ledger.postings (account_id, entry_id) INCLUDE (amount);

-- No entry without postings: its first line must be there when the transaction commits.
ALTER TABLE ledger.entries ADD CONSTRAINT entries_have_postings
  FOREIGN KEY (id, first_line) REFERENCES ledger.postings (entry_id, line)
  DEFERRABLE INITIALLY DEFERRED;
"""

# One pass over the rows of the statement. An entry that exists already has a line 1, so new
# lines numbered 1..n collide with it and others are refused here: it can't be extended.
BALANCE = """
CREATE FUNCTION ledger.check_postings() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  bad record;
BEGIN
  SELECT entry_id, count(*) AS lines, min(line) AS low, max(line) AS high INTO bad
    FROM added GROUP BY entry_id
  HAVING min(line) <> 1 OR max(line) <> count(*) LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'entry %: its % posting(s) are numbered from % to %, not 1 to %',
      bad.entry_id, bad.lines, bad.low, bad.high, bad.lines
      USING ERRCODE = 'check_violation', SCHEMA = 'ledger', TABLE = 'postings',
        CONSTRAINT = 'postings_lines',
        HINT = 'An entry is written whole, in one statement; an old one can''t be extended.';
  END IF;
  SELECT entry_id, currency, sum(amount) AS total INTO bad
    FROM added GROUP BY entry_id, currency HAVING sum(amount) <> 0 LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'entry % is unbalanced: its % postings add up to %',
      bad.entry_id, bad.currency, bad.total
      USING ERRCODE = 'check_violation', SCHEMA = 'ledger', TABLE = 'postings',
        CONSTRAINT = 'postings_balance',
        HINT = 'Debits are positive, credits negative; each currency adds up to zero.';
  END IF;
  RETURN NULL;
END
$$;
CREATE TRIGGER check_postings AFTER INSERT ON ledger.postings
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION ledger.check_postings();
ALTER TABLE ledger.postings ENABLE ALWAYS TRIGGER check_postings;
"""

# FOR SHARE waits for whoever is closing a cycle, and makes a closer wait for this transaction,
# however the closer goes about it (the foreign key's own FOR KEY SHARE would let a plain UPDATE
# pass). SECURITY DEFINER because locking a row takes the right to change it.
CLOSED_CYCLES = """
CREATE FUNCTION ledger.check_cycles() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  bad record;
BEGIN
  WITH locked AS MATERIALIZED (
    SELECT id, state FROM public.cycles
     WHERE id IN (SELECT cycle_id FROM added) ORDER BY id FOR SHARE
  )
  SELECT added.source_key, added.cycle_id INTO bad
    FROM added JOIN locked ON locked.id = added.cycle_id
   WHERE locked.state = 'closed'
   ORDER BY added.id LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'entry % is refused: cycle % is closed', bad.source_key, bad.cycle_id
      USING ERRCODE = 'restrict_violation', SCHEMA = 'ledger', TABLE = 'entries',
        CONSTRAINT = 'entries_cycle_open',
        HINT = 'What comes after the close is posted without a cycle.';
  END IF;
  RETURN NULL;
END
$$;
CREATE TRIGGER check_cycles AFTER INSERT ON ledger.entries
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION ledger.check_cycles();
ALTER TABLE ledger.entries ENABLE ALWAYS TRIGGER check_cycles;
"""

APPEND_ONLY = """
CREATE FUNCTION ledger.refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'ledger.% is append-only: % refused', TG_TABLE_NAME, TG_OP
    USING ERRCODE = 'restrict_violation', SCHEMA = 'ledger', TABLE = TG_TABLE_NAME,
      HINT = 'Correct an entry with its exact reversal and a new entry.';
END
$$;
"""

GUARD = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.{table}
  FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
ALTER TABLE ledger.{table} ENABLE ALWAYS TRIGGER append_only;
"""

# By column: ids and the time of posting are the database's to give.
GRANTS = """
REVOKE ALL ON SCHEMA ledger FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ledger FROM PUBLIC;
GRANT USAGE ON SCHEMA ledger TO billing_app;
GRANT SELECT ON ALL TABLES IN SCHEMA ledger TO billing_app;
GRANT INSERT (code, currency, owner_id, class) ON ledger.accounts TO billing_app;
GRANT INSERT (kind, source_key, payload_hash, effective_at, cycle_id, reverses_entry_id)
  ON ledger.entries TO billing_app;
GRANT INSERT (entry_id, line, account_id, amount, currency) ON ledger.postings TO billing_app;
"""


def upgrade() -> None:
    for part in (TABLES, BALANCE, CLOSED_CYCLES, APPEND_ONLY):
        op.execute(part)
    for table in ("accounts", "entries", "postings"):
        op.execute(GUARD.format(table=table))
    op.execute(GRANTS)


def downgrade() -> None:
    raise NotImplementedError("a ledger isn't dropped; restore a backup instead")
