"""Customers and their payment methods."""

__all__ = ["customers", "moving"]
