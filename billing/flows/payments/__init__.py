"""Collecting payments: dispatch, attempt, outcome, and authorisations that are captured later."""

__all__ = ["authorizations", "collecting", "outcomes"]
