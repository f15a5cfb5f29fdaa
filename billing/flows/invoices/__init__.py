"""Invoices that somebody asks for, beside every subscription: issued and voided."""

__all__ = ["ordering", "voiding"]
