"""What an answer to a refund means, without any I/O.

A card can't decline a refund; the bank's answer shows later, in the refund's status.
"""

from billing.gateway.objects import ProviderRefund
from billing.gateway.outcomes import (
    Deferred,
    RefundAccepted,
    RefundRequest,
    Rejected,
    Unknown,
)
from billing.gateway.refund_outcomes import outcome_among, outcome_of
from billing.gateway.stripe.classify import Fault, outcome_of_fault


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
    has_mark = is_of(refund, request)
    return outcome_of(refund, request, mark="metadata", has_mark=has_mark, request_id=request_id)


def outcome_of_found(
    found: list[ProviderRefund], request: RefundRequest
) -> RefundAccepted | Unknown:
    """Choose among refunds with the request's metadata; several live ones are `Unknown`."""
    alike = "carry the same metadata"
    return outcome_among(found, request, mark="metadata", alike=alike)


def is_of(refund: ProviderRefund, request: RefundRequest) -> bool:
    """Say whether a refund carries the metadata it was requested with."""
    # Stripe keeps no empty values.
    return all(refund.metadata.get(name, "") == value for name, value in request.metadata.items())
