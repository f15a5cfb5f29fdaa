"""API keys, sessions, idempotency keys, the audit log, and events received."""

__all__ = ["api_keys", "audit", "console_sessions", "events", "idempotency"]
