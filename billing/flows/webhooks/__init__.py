"""Webhooks: the inbox of events and what handles each kind."""

__all__ = ["handling", "inbox", "results"]
