"""API keys and the audit log, for people."""

from billing.store.access.api_keys import all_keys
from billing.store.access.api_keys import get as api_key
from billing.store.access.audit import AuditEntry
from billing.store.access.audit import page as audit_entries

__all__ = ["AuditEntry", "all_keys", "api_key", "audit_entries"]
