"""Collecting payments: dispatch, attempt, outcome, and authorisations that are captured later."""

__all__ = [
    "amounts",
    "authorization_outcomes",
    "authorization_sending",
    "authorizations",
    "captures",
    "charge_requests",
    "collecting",
    "declined_settlements",
    "forgotten",
    "locking",
    "subscription_status",
    "write_offs",
]
