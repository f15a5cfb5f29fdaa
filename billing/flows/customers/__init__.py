"""Customers, their payment methods, and what is known of them for taxes."""

__all__ = ["customers", "moving", "tax_facts", "vat_checks"]
