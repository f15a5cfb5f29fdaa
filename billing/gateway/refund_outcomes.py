"""The outcome of a request for a refund, from the refund that the provider shows.

As for charges, a wrong "no" would cause a second refund, so in doubt the outcome is `Unknown`.
"""

from collections.abc import Sequence
from typing import Final

from billing.gateway.kinds import RefundStatus
from billing.gateway.objects import ProviderRefund
from billing.gateway.outcomes import RefundAccepted, RefundRequest, Unknown

_GONE: Final = frozenset({RefundStatus.FAILED, RefundStatus.CANCELED})  # no money went back


def outcome_of(
    refund: ProviderRefund,
    request: RefundRequest,
    *,
    mark: str,
    has_mark: bool,
    request_id: str | None = None,
) -> RefundAccepted | Unknown:
    """Return the outcome of a request from a refund; another request's is never its success.

    `mark` is what a refund carries of the request that made it, and `has_mark` whether it does.
    """
    difference = _difference(refund, request) or (None if has_mark else mark)
    payment = request.provider_payment_id
    if difference is not None:
        message = f"the answer has another {difference} than the request"
        return Unknown(f"wrong_{difference}", message, payment, request_id)
    if refund.status is RefundStatus.UNKNOWN:
        message = f"the status of the refund {refund.id} has no known meaning"
        return Unknown("unexpected_status", message, payment, request_id)
    return RefundAccepted(
        refund.id, refund.status, refund.amount, refund.failure_reason, request_id
    )


def outcome_among(
    found: Sequence[ProviderRefund], request: RefundRequest, *, mark: str, alike: str
) -> RefundAccepted | Unknown:
    """Choose among refunds with the request's mark; several live ones, `alike`, are `Unknown`."""
    live = [refund for refund in found if refund.status not in _GONE]
    if len(live) > 1:
        message = f"{' and '.join(refund.id for refund in live)} {alike}"
        return Unknown("several_refunds", message, request.provider_payment_id)
    return outcome_of((live or found)[0], request, mark=mark, has_mark=True)


def _difference(refund: ProviderRefund, request: RefundRequest) -> str | None:
    """Return the first difference that shows the refund to be another one, if any."""
    if refund.provider_payment_id != request.provider_payment_id:
        return "payment"
    if refund.amount.currency != request.amount.currency:
        return "currency"
    return "amount" if refund.amount != request.amount else None
