"""Stripe behind the gateway: the only code that imports its SDK or knows its words."""

__all__ = ["kind"]
