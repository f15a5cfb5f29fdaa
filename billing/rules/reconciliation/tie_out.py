"""Why the provider's balance and our account of it differ, as far as both sides explain it."""

from enum import StrEnum


class TieOutReason(StrEnum):
    """What the provider's balance holds and `psp_clearing` doesn't, or the other way round."""

    CAPTURED_NOT_SETTLED = "captured_not_settled"
    SETTLED_NOT_POSTED = "settled_not_posted"
    OTHER_ENGINES = "other_engines"
    """Moved by other engines that use the same account."""
    REFUNDED_NOT_SETTLED = "refunded_not_settled"
    REFUND_PENDING = "refund_pending"
    """The provider took the money from the balance, and hasn't decided the refund."""
    DISPUTED_NOT_SETTLED = "disputed_not_settled"
    """Booked with a dispute, and dated by the provider on a day that isn't shown yet."""
    EXCHANGED_NOT_SHOWN = "exchanged_not_shown"
    BREAK_NOT_ADJUSTED = "break_not_adjusted"
    """An operator resolved a break and left the difference where it was."""
