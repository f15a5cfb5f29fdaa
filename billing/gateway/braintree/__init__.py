"""Braintree behind the gateway: the only code that imports its SDK or uses its words."""

__all__ = ["kind"]
