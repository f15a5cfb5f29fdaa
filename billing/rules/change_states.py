"""When a subscription can be changed: what becomes of a change, by how the subscription stands."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from billing.errors import ErrorCode
from billing.rules.item_changes import Applies
from billing.rules.subscriptions import Status


class ChangeStanding(StrEnum):
    """How a subscription stands, where that decides about a change."""

    SCHEDULED = "scheduled"
    TRIALING = "trialing"
    ACTIVE = "active"
    BEING_PAID = "being_paid"
    """It is active, and an invoice isn't paid yet."""
    PAST_DUE = "past_due"
    UNPAID = "unpaid"
    PAUSED = "paused"
    ENDING = "ending"
    """It was canceled for its period's end."""
    CANCELED = "canceled"


class PriceMove(StrEnum):
    """What a change does to the price of a period."""

    QUANTITY_UP = "quantity_up"
    QUANTITY_DOWN = "quantity_down"
    """It costs less, or as much."""
    PLAN_UP = "plan_up"
    PLAN_DOWN = "plan_down"
    SCHEDULE = "schedule"
    """Periods begin on another day or in another zone, and cost no more."""

    @property
    def costs_more(self) -> bool:
        """Tell whether a period costs more after it."""
        return self in (PriceMove.QUANTITY_UP, PriceMove.PLAN_UP)


@dataclass(frozen=True, slots=True)
class ChangeVerdict:
    """When a change begins to hold; or why it is refused."""

    applies: Applies | None = None
    refused: ErrorCode | None = None


_NOW: Final = ChangeVerdict(Applies.NOW)
_LATER: Final = ChangeVerdict(Applies.PERIOD_END)
_SCHEDULED_ONLY: Final = frozenset({ChangeStanding.SCHEDULED, ChangeStanding.PAUSED})
_REFUSED: Final[Mapping[ChangeStanding, ErrorCode]] = {
    ChangeStanding.UNPAID: ErrorCode.CHANGE_UNPAID,
    ChangeStanding.CANCELED: ErrorCode.SUBSCRIPTION_ENDED,
}


def standing(status: Status, *, ends: bool, being_paid: bool) -> ChangeStanding:
    """Return how a subscription stands: one that `ends` with its period has that decided."""
    if status is Status.CANCELED or status is Status.UNPAID or status is Status.PAUSED:
        return ChangeStanding(status)
    if ends:
        return ChangeStanding.ENDING
    if status is Status.ACTIVE and being_paid:
        return ChangeStanding.BEING_PAID
    return ChangeStanding(status)


def state_after(stands: ChangeStanding, move: PriceMove, applies: Applies) -> ChangeVerdict:
    """Return what becomes of a change that is asked for at once, or for the period's end.

    Nobody pays more while a payment is owed; what costs less then holds from the next period on.
    """
    if stands in _REFUSED:
        return ChangeVerdict(refused=_REFUSED[stands])
    if stands is ChangeStanding.ENDING:
        return _while_ending(move, applies)
    if applies is Applies.PERIOD_END or stands in _SCHEDULED_ONLY:
        return _LATER
    if stands is ChangeStanding.BEING_PAID:
        return ChangeVerdict(refused=ErrorCode.CHANGE_PAYMENT_UNDER_WAY)
    if stands is ChangeStanding.PAST_DUE:
        return ChangeVerdict(refused=ErrorCode.CHANGE_PAST_DUE) if move.costs_more else _LATER
    return _NOW


def _while_ending(move: PriceMove, applies: Applies) -> ChangeVerdict:
    if applies is Applies.NOW and move is PriceMove.QUANTITY_DOWN:
        return _NOW
    return ChangeVerdict(refused=ErrorCode.CHANGE_ENDING)
