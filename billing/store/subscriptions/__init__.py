"""Customers, plans, subscriptions and their cycles."""
