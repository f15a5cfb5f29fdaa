"""Read models for the CLI and the API. They write nothing."""

__all__ = [
    "access",
    "books",
    "credit_notes",
    "customers",
    "database",
    "events",
    "explain",
    "gauges",
    "invoices",
    "lists",
    "parked",
    "payments",
    "references",
    "refunds",
    "settlement",
    "status",
    "subscriptions",
    "timeline",
    "totals",
]
