"""Whose money a row is about, and the month in which it was written.

With `customer_id` on every table of money, all rows of a customer are found by one condition.
`month` is what the tables that only grow will be partitioned by: it is written once, by the
database's clock, and never changes. Rows of before take the month of their own instant.

Revision ID: 0004
Revises: 0003
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels: str | None = None
depends_on: str | None = None

# Table, and where the customer of one of its rows is found.
PAYMENT = "SELECT customer_id FROM public.payments WHERE id = {row}.payment_id"
CYCLE = (
    "SELECT s.customer_id FROM public.cycles c JOIN public.subscriptions s"
    " ON s.id = c.subscription_id WHERE c.id = {row}.cycle_id"
)
CUSTOMER_OF = {
    "cycles": "SELECT customer_id FROM public.subscriptions WHERE id = {row}.subscription_id",
    "attempts": PAYMENT,
    "refunds": PAYMENT,
    "disputes": PAYMENT,
    "breaks": f"SELECT coalesce(({PAYMENT}), ({CYCLE}))",
    "idempotency_keys": "SELECT customer_id FROM public.payments WHERE id = {row}.resource_id",
}
# What a row is found to belong to later (the payment of a dispute, of a break) counts then.
PARENT = {"cycles": "subscription_id", "idempotency_keys": "resource_id, finished_at"}
# An entry about nobody in particular has none: a payout, a fee, an exchange. Ids are compared as
# what they are, so that each is found by its index: a refund of a closed cycle has two entries.
CUSTOMER_OF_ENTRY = """
SELECT coalesce(
  (SELECT s.customer_id FROM public.cycles c JOIN public.subscriptions s
      ON s.id = c.subscription_id WHERE c.id = {row}.cycle_id),
  (SELECT max(a.owner_id::text)::uuid FROM ledger.postings p
     JOIN ledger.accounts a ON a.id = p.account_id WHERE p.entry_id = {row}.id),
  (SELECT r.customer_id FROM public.refunds r
    WHERE r.id = CASE WHEN {row}.kind LIKE 'refund\\_%'
                      THEN split_part({row}.source_key, ':', 2)::uuid END),
  (SELECT d.customer_id FROM public.disputes d
    WHERE d.id = CASE WHEN {row}.kind LIKE 'dispute\\_%'
                      THEN split_part({row}.source_key, ':', 2)::uuid END))
"""
REQUIRED = ("cycles", "attempts", "refunds")
# The trigger that refuses changes of a table's rows, and has to let this migration pass.
GUARD = {
    "cycles": "guard",
    "attempts": "guard",
    "refunds": "guard",
    "idempotency_keys": "guard",
    "ledger.entries": "append_only",
    "ledger.postings": "append_only",
    "payment_transitions": "append_only",
    "subscription_events": "append_only",
    "audit_log": "append_only",
}
# Table, and the instant that gives a row of before its month.
MONTH_OF = {
    "ledger.entries": "posted_at",
    "ledger.postings": "(SELECT e.posted_at FROM ledger.entries e WHERE e.id = postings.entry_id)",
    "payment_transitions": "at",
    "subscription_events": "at",
    "provider_events": "received_at",
    "settlement_rows": "created",
    "audit_log": "at",
}
THIS_MONTH = "(date_trunc('month', now() AT TIME ZONE 'UTC'))::date"

FUNCTIONS = """
CREATE FUNCTION keep_customer() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF OLD.customer_id IS NOT NULL AND NEW.customer_id IS DISTINCT FROM OLD.customer_id THEN
    RAISE EXCEPTION '%: whose row it is can''t change', TG_TABLE_NAME
      USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END
$$;
CREATE FUNCTION keep_month() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF NEW.month IS DISTINCT FROM OLD.month THEN
    RAISE EXCEPTION '%: the month in which a row was written can''t change', TG_TABLE_NAME
      USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END
$$;
"""
# Who inserts needn't know the customer: the row that the new one belongs to does.
TAKE_CUSTOMER = """
CREATE FUNCTION take_customer_of_{name}() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  NEW.customer_id := ({customer});
  RETURN NEW;
END
$$;
CREATE TRIGGER take_customer BEFORE INSERT OR UPDATE OF {parent} ON {table}
  FOR EACH ROW WHEN (NEW.customer_id IS NULL) EXECUTE FUNCTION take_customer_of_{name}();
ALTER TABLE {table} ENABLE ALWAYS TRIGGER take_customer;
"""
# `UPDATE OF` costs the updates of other columns nothing.
KEEP = """
CREATE TRIGGER keep_{column} BEFORE UPDATE OF {name} ON {table}
  FOR EACH ROW EXECUTE FUNCTION public.keep_{column}();
ALTER TABLE {table} ENABLE ALWAYS TRIGGER keep_{column};
"""


def upgrade() -> None:
    for table, trigger in GUARD.items():
        op.execute(f"ALTER TABLE {table} DISABLE TRIGGER {trigger}")
    op.execute(FUNCTIONS)
    for table, customer in CUSTOMER_OF.items():
        op.execute(f"ALTER TABLE {table} ADD COLUMN customer_id uuid")
        op.execute(f"UPDATE {table} SET customer_id = ({customer.format(row=table)})")
        if table in REQUIRED:
            op.execute(f"ALTER TABLE {table} ALTER COLUMN customer_id SET NOT NULL")
        op.execute(
            TAKE_CUSTOMER.format(
                table=table,
                name=table,
                parent=PARENT.get(table, "payment_id"),
                customer=customer.format(row="NEW"),
            )
        )
        op.execute(KEEP.format(table=table, column="customer", name="customer_id"))
    op.execute("ALTER TABLE ledger.entries ADD COLUMN customer_id uuid")
    op.execute(
        f"UPDATE ledger.entries SET customer_id = ({CUSTOMER_OF_ENTRY.format(row='entries')})"
    )
    op.execute("GRANT INSERT (customer_id) ON ledger.entries TO billing_app")
    for table, instant in MONTH_OF.items():
        op.execute(f"ALTER TABLE {table} ADD COLUMN month date")
        month = f"(date_trunc('month', {instant} AT TIME ZONE 'UTC'))::date"
        op.execute(f"UPDATE {table} SET month = {month}")
        op.execute("SET CONSTRAINTS ALL IMMEDIATE")  # else ALTER TABLE finds checks to come
        op.execute(
            f"ALTER TABLE {table} ALTER COLUMN month SET NOT NULL,"
            f" ALTER COLUMN month SET DEFAULT {THIS_MONTH}"
        )
    for table in ("provider_events", "settlement_rows"):
        op.execute(KEEP.format(table=table, column="month", name="month"))
    for table, trigger in GUARD.items():
        op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger}")


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
