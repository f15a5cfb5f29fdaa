"""The kinds of a provider's events, in neutral words."""

from enum import StrEnum


class EventKind(StrEnum):
    """What happened at the provider, and to which kind of object; `OTHER` is nothing we handle."""

    PAYMENT_SUCCEEDED = "payment_succeeded"
    PAYMENT_FAILED = "payment_failed"
    PAYMENT_CANCELED = "payment_canceled"
    PAYMENT_AUTHORIZED = "payment_authorized"
    CHARGE_REFUNDED = "charge_refunded"
    """A part of a charge was refunded; the object is the charge."""
    REFUND_UPDATED = "refund_updated"
    DISPUTE_OPENED = "dispute_opened"
    DISPUTE_UPDATED = "dispute_updated"
    DISPUTE_CLOSED = "dispute_closed"
    PAYOUT_UPDATED = "payout_updated"
    PAYOUT_PAID = "payout_paid"
    PAYOUT_FAILED = "payout_failed"
    PAYMENT_METHOD_ATTACHED = "payment_method_attached"
    PAYMENT_METHOD_UPDATED = "payment_method_updated"
    PAYMENT_METHOD_DETACHED = "payment_method_detached"
    CUSTOMER_UPDATED = "customer_updated"
    OTHER = "other"
