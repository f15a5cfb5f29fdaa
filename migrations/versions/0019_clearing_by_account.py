"""The ledger keeps `psp_clearing` for each account at a provider by itself.

The account there is belongs to the account that `0011` gave to everything else. No entry and no
posting changes, and an entry's hash has never named a provider.

Revision ID: 0019
Revises: 0018
"""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels: str | None = None
depends_on: str | None = None

ONLY_ACCOUNT = "stripe"
NAME = "^[a-z][a-z0-9_-]{0,62}$"
CODE = "psp_clearing"


def upgrade() -> None:
    op.execute("ALTER TABLE ledger.accounts ADD COLUMN provider text")
    op.execute("ALTER TABLE ledger.accounts DISABLE TRIGGER append_only")
    op.execute(f"UPDATE ledger.accounts SET provider = '{ONLY_ACCOUNT}' WHERE code = '{CODE}'")
    op.execute("ALTER TABLE ledger.accounts ENABLE ALWAYS TRIGGER append_only")
    op.execute(
        "ALTER TABLE ledger.accounts"
        f" ADD CONSTRAINT accounts_provider CHECK (provider ~ '{NAME}'),"
        " ADD CONSTRAINT accounts_by_provider"
        f" CHECK ((code = '{CODE}') = (provider IS NOT NULL)),"
        " DROP CONSTRAINT accounts_one_each,"
        " ADD CONSTRAINT accounts_one_each"
        " UNIQUE NULLS NOT DISTINCT (code, currency, owner_id, provider)"
    )
    op.execute("GRANT INSERT (provider) ON ledger.accounts TO billing_app")


def downgrade() -> None:
    raise NotImplementedError("a ledger isn't dropped; restore a backup instead")
