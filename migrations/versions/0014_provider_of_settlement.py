"""At which account of a provider a settlement run is, and its transactions, payouts and breaks.

What is there already is at the account that `0011` gave to everything else. The provider's side of
a break is called `theirs`, so that `provider` is the account in every table.

Revision ID: 0014
Revises: 0013
"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels: str | None = None
depends_on: str | None = None

ONLY_ACCOUNT = "stripe"
NAME = "^[a-z][a-z0-9_-]{0,62}$"

TABLES = ("reconciliation_runs", "settlement_rows", "payouts", "fx_events", "breaks")

# Ids of a provider are unique within an account, and so are a run and a break about them.
UNIQUE = """
ALTER TABLE reconciliation_runs
  DROP CONSTRAINT reconciliation_runs_once,
  ADD CONSTRAINT reconciliation_runs_once UNIQUE (provider, source, reference);
DROP INDEX reconciliation_runs_read;
CREATE INDEX reconciliation_runs_read ON reconciliation_runs (provider, window_to)
  WHERE source = 'provider';

ALTER TABLE settlement_rows
  DROP CONSTRAINT settlement_rows_pkey,
  ADD CONSTRAINT settlement_rows_pkey PRIMARY KEY (provider, provider_transaction_id);
DROP INDEX settlement_rows_unmatched, settlement_rows_unposted;
CREATE INDEX settlement_rows_unmatched ON settlement_rows (provider, provider_transaction_id)
  WHERE matched_at IS NULL;
CREATE INDEX settlement_rows_unposted ON settlement_rows (provider, provider_transaction_id)
  WHERE matched_at IS NOT NULL AND posted_at IS NULL;

ALTER TABLE payouts
  DROP CONSTRAINT payouts_pkey,
  ADD CONSTRAINT payouts_pkey PRIMARY KEY (provider, provider_payout_id);

ALTER TABLE breaks
  DROP CONSTRAINT breaks_dedupe_key_key,
  ADD CONSTRAINT breaks_dedupe_key_key UNIQUE (provider, dedupe_key);
"""
# Who finds a break needn't know the account where the payment, the run or the customer does.
# `take_customer` comes first.
TAKE_PROVIDER = """
CREATE FUNCTION take_provider_of_breaks() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  NEW.provider := coalesce(
    (SELECT provider FROM public.payments WHERE id = NEW.payment_id),
    (SELECT provider FROM public.reconciliation_runs WHERE id = NEW.run_id),
    (SELECT provider FROM public.customers WHERE id = NEW.customer_id));
  RETURN NEW;
END
$$;
CREATE TRIGGER take_provider BEFORE INSERT ON breaks
  FOR EACH ROW WHEN (NEW.provider IS NULL) EXECUTE FUNCTION take_provider_of_breaks();
ALTER TABLE breaks ENABLE ALWAYS TRIGGER take_provider;
"""
OF_PAYMENT = """
UPDATE breaks b SET provider = p.provider
  FROM payments p WHERE p.id = b.payment_id AND p.provider <> b.provider
"""


def upgrade() -> None:
    op.execute("ALTER TABLE breaks RENAME COLUMN provider TO theirs")
    for table in TABLES:
        # A default for one statement gives every row there is its account and rewrites none.
        op.execute(
            f"ALTER TABLE {table} ADD COLUMN provider text NOT NULL DEFAULT '{ONLY_ACCOUNT}'"
            f" CONSTRAINT {table}_provider CHECK (provider ~ '{NAME}')"
        )
        op.execute(f"ALTER TABLE {table} ALTER COLUMN provider DROP DEFAULT")
    op.execute(UNIQUE)
    op.execute(OF_PAYMENT)
    op.execute(TAKE_PROVIDER)
    for table in TABLES:
        op.execute(
            f"CREATE TRIGGER keep_provider BEFORE UPDATE OF provider ON {table}"
            " FOR EACH ROW EXECUTE FUNCTION keep_provider()"
        )
        op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER keep_provider")


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
