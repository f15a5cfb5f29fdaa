"""What is asked for in a story, and when.

An event prints as it is written in Python, so that a story that fails can be shortened event by
event and printed as a test.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

BEGINNING: Final = datetime(2026, 1, 1, tzinfo=UTC)
# What a restore would lose, and comes from other systems then. A charge whose resumption is lost is
# passed over by a recovery.
LOST: Final = frozenset(
    {"subscribe", "grant", "coupon", "note", "invoice", "top up", "resume", "withdraw"}
    | {"tax facts"}
)
LATER: Final = "period_end"  # when a change applies
# How a provider may behave from some day on: what it keeps, and when its money moves.
TERMS: Final[Mapping[str, Mapping[str, Any]]] = {
    "as usual": {"fee_basis_points": 290, "fee_fixed": 30, "available_after_seconds": 172_800},
    "no fees": {"fee_basis_points": 0, "fee_fixed": 0},
    "all is fee": {"fee_fixed": 100_000},
    "money at once": {"available_after_seconds": 0},
    "money late": {"available_after_seconds": 20 * 86_400},
    "refunds wait": {"refunds": "pending"},
    "refunds fail later": {"refunds": "pending_then_fail"},
    "refunds succeed": {"refunds": "succeed"},
    "fees of disputes come back": {"dispute_fee_returned": True},
    "payouts by themselves": {"payout_schedule": "daily"},
    "payouts are slow": {"payout_arrives_after_seconds": 10 * 86_400},
}


@dataclass(frozen=True)
class Event:
    """Something is asked for at a moment; `who` counts customers, in the order they come."""

    at: datetime
    kind: str
    who: int = 0
    plan: str = ""
    currency: str = "USD"
    quantity: int = 1
    zone: str = "UTC"
    card: str = ""
    part: int = 0  # of a payment, in percent; 0 is all of it
    days: int = 0
    effective: date | None = None
    moves: bool = False
    then: str = ""
    amount: int = 0  # of credit, in minor units
    priority: int = 50
    addon: int = -1  # how many of the plan's add-on; -1 says nothing about it
    coupon: str = ""
    place: str = ""  # where the customer is, of `taxing.PLACES`
    of: int = -1  # the number of the customer, where it is their second subscription

    @property
    def customer(self) -> int:
        """The number of the customer, which is that of their first subscription."""
        return self.who if self.of < 0 else self.of
