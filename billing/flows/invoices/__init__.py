"""Invoices that somebody asks for, beside every subscription: of lines, of credit, and voided."""

__all__ = ["asking", "buying", "ordering", "voiding"]
