"""Credit of customers: where it comes from, and what its moves mean. Pure."""

from enum import StrEnum
from typing import Final

PRIORITIES: Final = range(1, 101)
"""The priorities that a grant may have; the lowest is used first."""

PRIORITY: Final = 50
"""The priority of a grant for which none is asked for."""


class CreditSource(StrEnum):
    """Where credit comes from."""

    GOODWILL = "goodwill"
    """It was given away."""
    BOUGHT = "bought"
    CREDIT_NOTE = "credit_note"
    SMALL = "small"
    """It pays an amount that no provider takes, because it is too small."""

    @property
    def is_paid_for(self) -> bool:
        """Tell whether the customer paid for it, so that it isn't ours to give away."""
        return self in (CreditSource.BOUGHT, CreditSource.CREDIT_NOTE)


class MoveKind(StrEnum):
    """What a move does to what is left of a grant."""

    GRANTED = "granted"
    APPLIED = "applied"
    """It pays an invoice."""
    RETURNED = "returned"
    """The invoice is void: the credit can be used again."""
    EXPIRED = "expired"
    REFUNDED = "refunded"
    """The customer got the money back that it was bought with, or their bank took it."""
    RESTORED = "restored"
    """The refund failed, or the dispute was decided anew: the customer has it again."""

    @property
    def sign(self) -> int:
        """Whether it adds to what is left, or takes from it."""
        adds = (MoveKind.GRANTED, MoveKind.RETURNED, MoveKind.RESTORED)
        return 1 if self in adds else -1
