"""Collecting payments: dispatch, attempt, outcome, and authorisations that are captured later."""

__all__ = ["authorizations", "captures", "collecting", "subscription_status", "write_offs"]
