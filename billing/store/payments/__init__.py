"""Invoices, payments, attempts, refunds, disputes and recognition."""

__all__ = [
    "attempts",
    "credit",
    "credit_notes",
    "debts",
    "disputes",
    "invoices",
    "moving",
    "payment_steps",
    "payments",
    "provider_calls",
    "recognition",
    "refunds",
]
