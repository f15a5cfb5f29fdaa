"""Customers, plans, subscriptions and their cycles."""

__all__ = [
    "changes",
    "customers",
    "cycles",
    "digest",
    "item_changes",
    "items",
    "parking",
    "plans",
    "subscriptions",
]
