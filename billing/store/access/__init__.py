"""Who asks and what they did: API keys, idempotency keys, audit log, events received."""
