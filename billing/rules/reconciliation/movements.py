"""The kinds and outcomes of settlement rows; exchange rates between amounts.

The rows are judged in SQL (`billing.store.settlement.matching`), a night's million at once.
"""

from collections.abc import Sequence
from decimal import Decimal  # noqa: TID251  exchange rates are no money
from enum import StrEnum
from typing import Final

from billing.plans.currencies import digits
from billing.rules.money import Money


class RowOutcome(StrEnum):
    """The outcome of a settlement row that is no break (a break's row has the break's kind)."""

    MATCHED = "matched"
    """Both sides agree; it is posted next."""
    WAITING = "waiting"
    """Young, and our side is still deciding: judged again by the next run."""
    CORRECT = "correct"
    """The provider has money of a payment that is failed or undecided here: ours is to be
    corrected.
    """
    CORRECTED = "corrected"
    """Our side was corrected; the row counts as matched."""
    ACCEPTED = "accepted"
    """An operator accepted the difference, so the row counts as matched."""
    RESOLVED = "resolved"
    """An operator resolved its break; only the operator's adjustment is posted."""
    OTHER_ENGINE = "other_engine"
    """Another engine made it over the same account: passed over, and nothing is posted."""


class MovementKind(StrEnum):
    """The kind of a movement on the provider's balance; gateways map their words to it."""

    CHARGE = "charge"
    CAPTURE_REVERSAL = "capture_reversal"
    """The part of an authorised charge that was not captured, where the whole was booked."""
    REFUND = "refund"
    REFUND_FAILURE = "refund_failure"
    DISPUTE = "dispute"
    DISPUTE_REVERSAL = "dispute_reversal"
    PAYOUT = "payout"
    PAYOUT_FAILURE = "payout_failure"
    FEE = "fee"
    RESERVE = "reserve"
    """Money of ours that the provider holds back, or gives free again."""
    CONTRIBUTION = "contribution"
    """Money of ours that the provider passes on, as we chose."""
    CONVERSION = "conversion"
    ADJUSTMENT = "adjustment"
    OTHER = "other"


REFUNDS: Final = (MovementKind.REFUND, MovementKind.REFUND_FAILURE)
DISPUTES: Final = (MovementKind.DISPUTE, MovementKind.DISPUTE_REVERSAL)
PAYOUTS: Final = (MovementKind.PAYOUT, MovementKind.PAYOUT_FAILURE)
BOOKED_BY_KIND: Final = (MovementKind.FEE, MovementKind.RESERVE, MovementKind.CONTRIBUTION)
"""The kinds that are booked for what they are, without anything of ours to compare them with."""
BOOKED_BY_RULE: Final = (MovementKind.ADJUSTMENT, MovementKind.OTHER)
"""The kinds that a configured rule may name an account for, by the provider's word."""
OF_CUSTOMERS: Final = (
    MovementKind.CHARGE,
    MovementKind.CAPTURE_REVERSAL,
    *REFUNDS,
    *DISPUTES,
)
"""The kinds that belong to a customer's payment: money taken from, or given back to, a cardholder.
"""


def rate_makes(sold: Money, bought: Money, rate: Decimal) -> bool:
    """Tell whether an exact rate makes one amount out of another, to a minor unit."""
    return _off(sold, bought, rate) <= 1


def best_made(candidates: Sequence[Money], bought: Money, rate: Decimal) -> Money:
    """Return the amount out of which a rate makes `bought` best; the first of equals."""
    return min(candidates, key=lambda each: _off(each, bought, rate))


def _off(given: Money, taken: Money, rate: Decimal) -> Decimal:
    """Return by how many minor units `taken` differs from `given` at a rate in major units."""
    power = digits(taken.currency) - digits(given.currency)
    return abs(abs(taken.amount) - abs(given.amount) * rate * Decimal(10) ** power)
