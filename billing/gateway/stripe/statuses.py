"""Statuses of payments, refunds, payouts and disputes in our kinds, and failures of refunds."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from billing.gateway.kinds import (
    DisputeStage,
    PaymentStatus,
    PayoutStatus,
    RefundFailure,
    RefundStatus,
)

_PAYMENT_STATUSES: Final[Mapping[str, PaymentStatus]] = MappingProxyType(
    {
        "requires_payment_method": PaymentStatus.WAITING,
        "requires_confirmation": PaymentStatus.WAITING,
        "requires_action": PaymentStatus.NEEDS_CUSTOMER,
        "processing": PaymentStatus.PROCESSING,
        "requires_capture": PaymentStatus.AUTHORIZED,
        "succeeded": PaymentStatus.CAPTURED,
        "canceled": PaymentStatus.CANCELED,
    }
)
_REFUND_STATUSES: Final[Mapping[str, RefundStatus]] = MappingProxyType(
    {
        "pending": RefundStatus.PENDING,
        "requires_action": RefundStatus.PENDING,
        "succeeded": RefundStatus.SUCCEEDED,
        "failed": RefundStatus.FAILED,
        "canceled": RefundStatus.CANCELED,
    }
)
_PAYOUT_STATUSES: Final[Mapping[str, PayoutStatus]] = MappingProxyType(
    {
        "pending": PayoutStatus.PENDING,
        "in_transit": PayoutStatus.IN_TRANSIT,
        "paid": PayoutStatus.PAID,
        "failed": PayoutStatus.FAILED,
        "canceled": PayoutStatus.CANCELED,
    }
)
_REFUND_FAILURES: Final[Mapping[str, RefundFailure]] = MappingProxyType(
    {
        "lost_or_stolen_card": RefundFailure.METHOD_LOST,
        "expired_or_canceled_card": RefundFailure.METHOD_CLOSED,
        "charge_for_pending_refund_disputed": RefundFailure.CHARGE_DISPUTED,
        "insufficient_funds": RefundFailure.INSUFFICIENT_FUNDS,
        "declined": RefundFailure.DECLINED,
        "merchant_request": RefundFailure.WITHDRAWN,
    }
)
_INQUIRY: Final = "warning_"
_DISPUTE_STAGES: Final[Mapping[str, DisputeStage]] = MappingProxyType(
    {
        "warning_needs_response": DisputeStage.NEEDS_RESPONSE,
        "warning_under_review": DisputeStage.UNDER_REVIEW,
        "warning_closed": DisputeStage.CLOSED,
        "needs_response": DisputeStage.NEEDS_RESPONSE,
        "under_review": DisputeStage.UNDER_REVIEW,
        "won": DisputeStage.WON,
        "lost": DisputeStage.LOST,
    }
)


def payment_status(written: str) -> PaymentStatus:
    """Return the kind of a payment's status."""
    return _PAYMENT_STATUSES.get(written, PaymentStatus.UNKNOWN)


def refund_status(written: str | None) -> RefundStatus:
    """Return the kind of a refund's status, which may be missing."""
    return _REFUND_STATUSES.get(written or "", RefundStatus.UNKNOWN)


def payout_status(written: str) -> PayoutStatus:
    """Return the kind of a payout's status."""
    return _PAYOUT_STATUSES.get(written, PayoutStatus.UNKNOWN)


def refund_failure(written: str | None) -> RefundFailure | None:
    """Return why a refund failed; None where Stripe gives no reason."""
    return None if written is None else _REFUND_FAILURES.get(written, RefundFailure.UNKNOWN)


def dispute_stage(written: str) -> tuple[DisputeStage, bool]:
    """Return a dispute's stage, and whether it is an inquiry, which moves no money."""
    stage = _DISPUTE_STAGES.get(written, DisputeStage.UNKNOWN)
    return stage, written.startswith(_INQUIRY)
