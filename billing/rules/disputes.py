"""Dispute rules: our state of a dispute, and which of the provider's transactions move money.

Pure. An inquiry asks a question and moves no money. The amounts that a dispute withholds and
returns, and its fees, are those of the provider's transactions.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from billing.rules.money import Money


class DisputeStage(StrEnum):
    """The provider's stage of a dispute or an inquiry."""

    NEEDS_RESPONSE = "needs_response"
    UNDER_REVIEW = "under_review"
    WON = "won"
    LOST = "lost"
    CLOSED = "closed"
    """An inquiry that ended without a dispute."""
    UNKNOWN = "unknown"
    """The provider's word is unknown to us; the dispute counts as open."""


class DisputeState(StrEnum):
    """Our state of a dispute, which its entries depend on."""

    INQUIRY = "inquiry"
    INQUIRY_CLOSED = "inquiry_closed"
    OPENED = "opened"
    WON = "won"
    LOST = "lost"


CLOSED: Final = frozenset({DisputeState.INQUIRY_CLOSED, DisputeState.WON, DisputeState.LOST})

# A later stage is a newer answer: the provider never moves a dispute back to an earlier stage. A
# decision may be replaced by another one: won and lost rank equally.
_STAGE: Final = {
    DisputeState.INQUIRY: 0,
    DisputeState.INQUIRY_CLOSED: 1,
    DisputeState.OPENED: 2,
    DisputeState.WON: 3,
    DisputeState.LOST: 3,
}


_DECIDED: Final = {DisputeStage.WON: DisputeState.WON, DisputeStage.LOST: DisputeState.LOST}


def state_of(stage: DisputeStage, is_inquiry: bool) -> DisputeState:
    """Return our state of a dispute or an inquiry of this stage."""
    if stage is DisputeStage.CLOSED:
        return DisputeState.INQUIRY_CLOSED
    if is_inquiry:
        return DisputeState.INQUIRY
    return _DECIDED.get(stage, DisputeState.OPENED)


def is_older(seen: DisputeState, known: DisputeState) -> bool:
    """Tell whether an answer is late: of an earlier stage than the one we know."""
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
    """Read a transaction of a dispute: a credit to our balance is a return, any other withholds."""
    direction: Literal["withheld", "returned"] = "returned" if net_of_fee.amount > 0 else "withheld"
    return Movement(
        transaction_id,
        direction,
        abs(net_of_fee if customer_money is None else customer_money),
        fee,
    )
