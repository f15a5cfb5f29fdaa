"""Invoices, payments, attempts, refunds, disputes and recognition."""

__all__ = [
    "attempts",
    "credit",
    "credit_notes",
    "debts",
    "disputes",
    "invoice_numbers",
    "invoices",
    "line_parts",
    "moving",
    "payment_history",
    "payment_steps",
    "payments",
    "provider_calls",
    "recognition",
    "refunds",
    "tax_calls",
    "tax_decisions",
    "top_ups",
]
