"""API keys, idempotency keys, the audit log, and events received."""
