"""API keys, idempotency keys, the audit log, and events received."""

__all__ = ["api_keys", "audit", "events", "idempotency"]
