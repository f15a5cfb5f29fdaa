"""Alembic migrations. `billing db migrate` runs them; `billing.store.schema` knows the newest."""
