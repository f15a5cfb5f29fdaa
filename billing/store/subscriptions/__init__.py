"""Customers, plans, subscriptions and their cycles."""

__all__ = ["customers", "cycles", "digest", "parking", "plans", "subscriptions"]
