"""Statuses of transactions and disputes in our kinds."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from billing.gateway.kinds import DisputeStage, PaymentStatus, RefundFailure, RefundStatus

CAPTURED: Final = frozenset(
    {"submitted_for_settlement", "settling", "settlement_confirmed", "settled"}
)
"""The money is on its way to us, or here."""
UNDECIDED: Final = frozenset({"authorizing", "settlement_pending"})
DECLINED: Final = frozenset({
    "processor_declined", "gateway_rejected", "failed", "settlement_declined", "settlement_failed",
})  # fmt: skip
"""No money moved, and none will under this transaction."""
GONE: Final = frozenset({"voided", "authorization_expired"})

_PAYMENT_STATUSES: Final[Mapping[str, PaymentStatus]] = MappingProxyType(
    {
        "authorized": PaymentStatus.AUTHORIZED,
        **dict.fromkeys(CAPTURED, PaymentStatus.CAPTURED),
        **dict.fromkeys(UNDECIDED, PaymentStatus.PROCESSING),
        # A decline ends this transaction and not the payment, whose next attempt is another one.
        **dict.fromkeys(DECLINED, PaymentStatus.WAITING),
        **dict.fromkeys(GONE, PaymentStatus.CANCELED),
    }
)
_REFUND_STATUSES: Final[Mapping[str, RefundStatus]] = MappingProxyType(
    {
        "settled": RefundStatus.SUCCEEDED,
        **dict.fromkeys(CAPTURED - {"settled"}, RefundStatus.PENDING),
        **dict.fromkeys(UNDECIDED | {"authorized"}, RefundStatus.PENDING),
        **dict.fromkeys(DECLINED, RefundStatus.FAILED),
        "voided": RefundStatus.CANCELED,
    }
)
_DISPUTE_STAGES: Final[Mapping[str, DisputeStage]] = MappingProxyType(
    {
        "open": DisputeStage.NEEDS_RESPONSE,
        "disputed": DisputeStage.UNDER_REVIEW,
        "under_review": DisputeStage.UNDER_REVIEW,
        "won": DisputeStage.WON,
        "lost": DisputeStage.LOST,
        "accepted": DisputeStage.LOST,
        "auto_accepted": DisputeStage.LOST,
        "expired": DisputeStage.LOST,
    }
)
_ENDED: Final = frozenset({DisputeStage.WON, DisputeStage.LOST})


def payment_status(written: str) -> PaymentStatus:
    """Return the kind of a sale's status."""
    return _PAYMENT_STATUSES.get(written, PaymentStatus.UNKNOWN)


def refund_status(written: str) -> RefundStatus:
    """Return the kind of a refund's status."""
    return _REFUND_STATUSES.get(written, RefundStatus.UNKNOWN)


def refund_failure(written: str) -> RefundFailure | None:
    """Return why a refund of this status failed; None where it didn't."""
    if written == "voided":
        return RefundFailure.WITHDRAWN
    return RefundFailure.DECLINED if written in DECLINED else None


def dispute_stage(written: str, kind: str) -> tuple[DisputeStage, bool]:
    """Return a dispute's stage, and whether it is an inquiry, which moves no money."""
    stage = _DISPUTE_STAGES.get(written, DisputeStage.UNKNOWN)
    inquiry = kind == "retrieval"
    return DisputeStage.CLOSED if inquiry and stage in _ENDED else stage, inquiry
