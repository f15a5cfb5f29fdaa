"""What a settlement's rows are about and what became of them; exchange rates between amounts.

The rows are judged in SQL (`billing.store.settlement.matching`), a night's million at once.
"""

from decimal import Decimal  # noqa: TID251  exchange rates are no money
from enum import StrEnum
from typing import Final

from billing.rules.money import Money
from plans.currencies import digits


class RowOutcome(StrEnum):
    """What became of a settlement row that is no break (a break's row carries the break's kind)."""

    MATCHED = "matched"
    """Both sides agree; it is posted next."""
    WAITING = "waiting"
    """Young, and our side is still deciding: judged again by the next run."""
    CORRECT = "correct"
    """The provider has money that we gave up or never heard of: our side is to be corrected."""
    CORRECTED = "corrected"
    """It was; from here on it is as good as matched."""
    ACCEPTED = "accepted"
    """An operator accepted the difference, so the row counts as matched."""
    RESOLVED = "resolved"
    """An operator explained it away; nothing of it is posted but their adjustment."""


class MovementKind(StrEnum):
    """What sort of movement on the provider's balance a row is; gateways map their words to it."""

    CHARGE = "charge"
    REFUND = "refund"
    REFUND_FAILURE = "refund_failure"
    DISPUTE = "dispute"
    DISPUTE_REVERSAL = "dispute_reversal"
    PAYOUT = "payout"
    PAYOUT_FAILURE = "payout_failure"
    FEE = "fee"
    CONVERSION = "conversion"
    ADJUSTMENT = "adjustment"
    OTHER = "other"


REFUNDS: Final = (MovementKind.REFUND, MovementKind.REFUND_FAILURE)
DISPUTES: Final = (MovementKind.DISPUTE, MovementKind.DISPUTE_REVERSAL)
PAYOUTS: Final = (MovementKind.PAYOUT, MovementKind.PAYOUT_FAILURE)
OF_CUSTOMERS: Final = (MovementKind.CHARGE, *REFUNDS, *DISPUTES)
"""What is about a customer's payment: money taken from, or given back to, a cardholder."""


def rate_makes(sold: Money, bought: Money, rate: Decimal) -> bool:
    """Tell whether an exact rate makes one amount out of another, to a minor unit."""
    return _off(sold, bought, rate) <= 1


def _off(given: Money, taken: Money, rate: Decimal) -> Decimal:
    """Return how many minor units `taken` is off what a rate in major units makes of `given`."""
    power = digits(taken.currency) - digits(given.currency)
    return abs(abs(taken.amount) - abs(given.amount) * rate * Decimal(10) ** power)
