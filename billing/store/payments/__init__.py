"""Invoices, payments, attempts, refunds, disputes and recognition."""
