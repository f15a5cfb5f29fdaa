"""Adopting what the provider holds of this engine and this database has forgotten.

finding      what is unknown here, and what can be done about it
adopting     a customer, a payment, a refund or a dispute, each in transactions of its own
reopening    the cycle, or the change of a subscription, that a payment is for
recovering   all of it, object by object; then the fence opens
"""

__all__ = ["finding", "recovering"]
