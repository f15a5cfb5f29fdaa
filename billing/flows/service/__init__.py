"""The payment service behind HTTP and gRPC: charge, refund, look up, with idempotency keys and API
keys.
"""

__all__ = [
    "api_keys",
    "callers",
    "change_views",
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
