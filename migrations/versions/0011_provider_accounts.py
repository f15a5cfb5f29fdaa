"""At which account of which provider a row is: ids of a provider are unique within an account.

What is there already is at the account that the configuration's only section named before
accounts had names.

Revision ID: 0011
Revises: 0010
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels: str | None = None
depends_on: str | None = None

ONLY_ACCOUNT = "stripe"
NAME = "^[a-z][a-z0-9_-]{0,62}$"

# Table, the row that says where it is, and the columns that are unique within an account.
OF_CUSTOMER = "SELECT provider FROM public.customers WHERE id = NEW.customer_id"
OF_PAYMENT = "SELECT provider FROM public.payments WHERE id = NEW.payment_id"
TABLES = {
    "customers": (None, "provider_customer_id"),
    "payment_methods": (OF_CUSTOMER, "provider_payment_method_id"),
    "payments": (OF_CUSTOMER, "provider_payment_id"),
    "provider_calls": (OF_CUSTOMER, "idempotency_key"),
    "refunds": (OF_PAYMENT, "provider_refund_id"),
    "disputes": (OF_PAYMENT, "provider_dispute_id"),
    "provider_events": (None, None),
}
OLD_CONSTRAINT = {
    "customers": "customers_provider_customer_id_key",
    "payment_methods": "payment_methods_provider_payment_method_id_key",
    "payments": "payments_provider_payment_id_key",
    "provider_calls": "provider_calls_own_key",
    "refunds": "refunds_provider_refund_id_key",
    "disputes": "disputes_provider_dispute_id_key",
}
KEEP_PROVIDER = """
CREATE FUNCTION keep_provider() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF NEW.provider IS DISTINCT FROM OLD.provider THEN
    RAISE EXCEPTION '%: the provider account of a row can''t change', TG_TABLE_NAME
      USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END
$$;
"""
# Who inserts needn't know the account: the row that the new one belongs to does.
TAKE_PROVIDER = """
CREATE FUNCTION take_provider_of_{table}() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  NEW.provider := ({source});
  RETURN NEW;
END
$$;
CREATE TRIGGER take_provider BEFORE INSERT ON {table}
  FOR EACH ROW WHEN (NEW.provider IS NULL) EXECUTE FUNCTION take_provider_of_{table}();
ALTER TABLE {table} ENABLE ALWAYS TRIGGER take_provider;
"""


def upgrade() -> None:
    op.execute(KEEP_PROVIDER)
    for table, (source, unique) in TABLES.items():
        # A default for one statement gives every row there is its account and rewrites none.
        op.execute(
            f"ALTER TABLE {table} ADD COLUMN provider text NOT NULL DEFAULT '{ONLY_ACCOUNT}'"
            f" CONSTRAINT {table}_provider CHECK (provider ~ '{NAME}')"
        )
        op.execute(f"ALTER TABLE {table} ALTER COLUMN provider DROP DEFAULT")
        if unique is not None:
            old = OLD_CONSTRAINT[table]
            op.execute(
                f"ALTER TABLE {table} DROP CONSTRAINT {old},"
                f" ADD CONSTRAINT {old} UNIQUE (provider, {unique})"
            )
        if source is not None:
            op.execute(TAKE_PROVIDER.format(table=table, source=source))
        op.execute(
            f"CREATE TRIGGER keep_provider BEFORE UPDATE OF provider ON {table}"
            " FOR EACH ROW EXECUTE FUNCTION keep_provider()"
        )
        op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER keep_provider")
    op.execute(
        "ALTER TABLE provider_events DROP CONSTRAINT provider_events_pkey,"
        " ADD CONSTRAINT provider_events_pkey PRIMARY KEY (provider, event_id)"
    )


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
