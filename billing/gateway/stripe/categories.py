"""What Stripe calls a kind of movement on the balance.

Stripe's reporting categories (https://docs.stripe.com/reports/reporting-categories) are the words
that the engine took over. A movement may show its type where its category is expected.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_OF_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "payment": "charge",
        "payment_refund": "refund",
        "payment_failure_refund": "refund_failure",
        "stripe_fee": "fee",
        "payout_cancel": "payout_reversal",
        "payout_failure": "payout_reversal",
    }
)


def category_of(written: str) -> str:
    """Return the category of a movement, which is shown as such or as a type."""
    return _OF_TYPES.get(written, written)
