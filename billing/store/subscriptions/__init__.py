"""Customers, plans, subscriptions and their cycles."""

__all__ = ["changes", "customers", "cycles", "digest", "items", "parking", "plans", "subscriptions"]
