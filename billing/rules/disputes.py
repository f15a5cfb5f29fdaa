"""Dispute rules: where a dispute stands, and which of the provider's movements are about us.

Pure. An inquiry asks a question and moves no money. A dispute takes the amount and a fee when
the provider's own transactions say so, and gives back what they say.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from billing.rules.money import Money


class DisputeStage(StrEnum):
    """Where the provider has a dispute or an inquiry."""

    NEEDS_RESPONSE = "needs_response"
    UNDER_REVIEW = "under_review"
    WON = "won"
    LOST = "lost"
    CLOSED = "closed"
    """An inquiry that ended without a dispute."""
    UNKNOWN = "unknown"
    """A word of the provider's that has no meaning yet: the dispute is taken for open."""


class DisputeState(StrEnum):
    """Where a dispute stands with us: what its money depends on."""

    INQUIRY = "inquiry"
    INQUIRY_CLOSED = "inquiry_closed"
    OPENED = "opened"
    WON = "won"
    LOST = "lost"


CLOSED: Final = frozenset({DisputeState.INQUIRY_CLOSED, DisputeState.WON, DisputeState.LOST})

# Later is newer: the provider never takes a dispute back to an earlier stage. What was won or
# lost may be decided again.
_STAGE: Final = {
    DisputeState.INQUIRY: 0,
    DisputeState.INQUIRY_CLOSED: 1,
    DisputeState.OPENED: 2,
    DisputeState.WON: 3,
    DisputeState.LOST: 3,
}


_DECIDED: Final = {DisputeStage.WON: DisputeState.WON, DisputeStage.LOST: DisputeState.LOST}


def state_of(stage: DisputeStage, is_inquiry: bool) -> DisputeState:
    """Return where a dispute, or an inquiry, of this stage stands with us."""
    if stage is DisputeStage.CLOSED:
        return DisputeState.INQUIRY_CLOSED
    if is_inquiry:
        return DisputeState.INQUIRY
    return _DECIDED.get(stage, DisputeState.OPENED)


def is_older(seen: DisputeState, known: DisputeState) -> bool:
    """Tell whether what was seen is an earlier stage than what we know: a late answer."""
    return _STAGE[seen] < _STAGE[known]


@dataclass(frozen=True, slots=True)
class Movement:
    """Money of a dispute that moved: withheld from us, or returned.

    `amount` is positive and in the customer's currency; `fee` is negative where it is given back.
    """

    transaction_id: str
    direction: Literal["withheld", "returned"]
    amount: Money
    fee: Money


def movement(
    transaction_id: str, net_of_fee: Money, customer_money: Money | None, fee: Money
) -> Movement:
    """Read a transaction of a dispute: what came to the balance was returned, all else withheld."""
    direction: Literal["withheld", "returned"] = "returned" if net_of_fee.amount > 0 else "withheld"
    return Movement(
        transaction_id,
        direction,
        abs(net_of_fee if customer_money is None else customer_money),
        fee,
    )
