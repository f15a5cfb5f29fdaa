"""The payment service behind HTTP and gRPC: charge, refund, look up, with idempotency keys and API
keys; and the sessions of the console.
"""

__all__ = [
    "api_keys",
    "callers",
    "change_views",
    "console_sessions",
    "credit",
    "credit_notes",
    "customers",
    "idempotency",
    "invoices",
    "lookup",
    "orders",
    "payments",
    "usage",
    "views",
]
