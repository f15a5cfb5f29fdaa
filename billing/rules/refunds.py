"""Refund rules: the amount refundable, its parts, and the order of states. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from billing.rules.money import Money


class RefundState(StrEnum):
    """The state of a refund: requested here, accepted by the provider, or ended."""

    REQUESTED = "requested"
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


class RefundStatus(StrEnum):
    """The provider's status of a refund; `UNKNOWN` stands for a word that we don't know."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    UNKNOWN = "unknown"


class RefundFailure(StrEnum):
    """Why a refund that the provider had accepted did not arrive."""

    METHOD_LOST = "payment_method_lost"
    METHOD_CLOSED = "payment_method_closed"
    """The payment method expired, or was canceled."""
    CHARGE_DISPUTED = "charge_disputed"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    """Our balance at the provider was too low."""
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"
    """Somebody canceled it at the provider."""
    UNKNOWN = "unknown"


_REACHED: Final[Mapping[RefundStatus, RefundState]] = MappingProxyType(
    {
        RefundStatus.PENDING: RefundState.PENDING,
        RefundStatus.SUCCEEDED: RefundState.SUCCEEDED,
        RefundStatus.FAILED: RefundState.FAILED,
        RefundStatus.CANCELED: RefundState.CANCELED,
        RefundStatus.UNKNOWN: RefundState.PENDING,
    }
)
_FOLLOWING: Final[Mapping[RefundState, frozenset[RefundState]]] = MappingProxyType(
    {
        RefundState.REQUESTED: frozenset(RefundState) - {RefundState.REQUESTED},
        RefundState.PENDING: frozenset(
            {RefundState.SUCCEEDED, RefundState.FAILED, RefundState.CANCELED}
        ),
        RefundState.SUCCEEDED: frozenset({RefundState.FAILED}),
        RefundState.FAILED: frozenset(),
        RefundState.CANCELED: frozenset(),
    }
)


def next_state(now: RefundState, status: RefundStatus) -> RefundState | None:
    """Return the state that the provider's status leads to, or None when it leads nowhere new.

    States go forward only, so an answer that arrives late can't undo a newer one. An unknown status
    counts as `pending`.
    """
    reached = _REACHED[status]
    if now is RefundState.SUCCEEDED and reached is RefundState.CANCELED:
        reached = RefundState.FAILED
    return reached if reached in _FOLLOWING[now] else None


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of an amount: earned, still to be earned, and tax."""

    recognised: int = 0
    deferred: int = 0
    tax: int = 0

    @property
    def total(self) -> int:
        """The whole amount."""
        return self.recognised + self.deferred + self.tax


def refundable(captured: Money, given_back: Money, in_dispute: Money) -> Money:
    """Return how much of a payment may still go back.

    `given_back` counts every refund that didn't fail, also those that are only requested;
    `in_dispute` is the amount that the cardholder's bank holds or has taken.
    """
    left = captured - given_back - in_dispute
    return left if left.amount > 0 else Money(0, captured.currency)
