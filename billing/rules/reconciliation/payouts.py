"""How far a payout came at the provider."""

from enum import StrEnum
from typing import Final


class PayoutStatus(StrEnum):
    """The status of a payout; gateways map their words to it."""

    PENDING = "pending"
    IN_TRANSIT = "in_transit"
    PAID = "paid"
    """The provider reports it as arrived at the bank; it may still fail."""
    FAILED = "failed"
    CANCELED = "canceled"
    UNKNOWN = "unknown"
    """A word of the provider's that the gateway doesn't know."""


ENDED: Final = (PayoutStatus.PAID, PayoutStatus.FAILED, PayoutStatus.CANCELED)
"""The statuses from which a payout isn't expected to move."""
