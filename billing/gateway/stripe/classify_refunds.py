"""What an answer to a refund means, without any I/O.

As for charges, a wrong "no" would cause a second refund, so in doubt the outcome is `Unknown`. A
card can't decline a refund; the bank's answer shows later, in the refund's status.
"""

from typing import Final

from billing.gateway.kinds import RefundStatus
from billing.gateway.objects import ProviderRefund
from billing.gateway.outcomes import (
    Deferred,
    RefundAccepted,
    RefundRequest,
    Rejected,
    Unknown,
)
from billing.gateway.stripe.classify import Fault, outcome_of_fault

_GONE: Final = frozenset({RefundStatus.FAILED, RefundStatus.CANCELED})  # no money went back


def outcome_of_refund_fault(
    fault: Fault, request: RefundRequest, *, first_send: bool
) -> Rejected | Deferred | Unknown:
    """Return the outcome of a refund whose request failed."""
    outcome = outcome_of_fault(
        fault, first_send=first_send, provider_payment_id=request.provider_payment_id
    )
    if isinstance(outcome, Rejected | Deferred | Unknown):
        return outcome
    message = f"a refund can't be declined: {fault.message}"
    return Unknown(fault.kind.value, message, request.provider_payment_id, fault.request_id)


def outcome_of_refund(
    refund: ProviderRefund, request: RefundRequest, request_id: str | None = None
) -> RefundAccepted | Unknown:
    """Return the outcome of a request from a refund; another request's is never its success."""
    difference = refund_difference(refund, request)
    if difference is not None:
        message = f"the answer has another {difference} than the request"
        return _unknown(f"wrong_{difference}", message, request, request_id)
    if refund.status is RefundStatus.UNKNOWN:
        message = f"the status of the refund {refund.id} has no known meaning"
        return _unknown("unexpected_status", message, request, request_id)
    return RefundAccepted(
        refund.id, refund.status, refund.amount, refund.failure_reason, request_id
    )


def outcome_of_found(
    found: list[ProviderRefund], request: RefundRequest
) -> RefundAccepted | Unknown:
    """Choose among refunds with the request's metadata; several live ones are `Unknown`."""
    live = [refund for refund in found if refund.status not in _GONE]
    if len(live) > 1:
        ids = " and ".join(refund.id for refund in live)
        return _unknown("several_refunds", f"{ids} carry the same metadata", request, None)
    return outcome_of_refund((live or found)[0], request)


def is_of(refund: ProviderRefund, request: RefundRequest) -> bool:
    """Say whether a refund carries the metadata it was requested with."""
    # Stripe keeps no empty values.
    return all(refund.metadata.get(name, "") == value for name, value in request.metadata.items())


def refund_difference(refund: ProviderRefund, request: RefundRequest) -> str | None:
    """Return the first difference that shows the refund to be another one, if any."""
    if refund.provider_payment_id != request.provider_payment_id:
        return "payment"
    if refund.amount.currency != request.amount.currency:
        return "currency"
    if refund.amount != request.amount:
        return "amount"
    return None if is_of(refund, request) else "metadata"


def _unknown(label: str, message: str, request: RefundRequest, request_id: str | None) -> Unknown:
    return Unknown(label, message, request.provider_payment_id, request_id)
