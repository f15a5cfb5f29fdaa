"""Alembic migrations. `billing db migrate` runs them; `billing.store.schema` finds the newest."""
