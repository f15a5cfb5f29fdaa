"""Refunds at Stripe."""

import math
from datetime import datetime

from billing.gateway.objects import ProviderRefund
from billing.gateway.outcomes import (
    Absent,
    RefundAccepted,
    RefundOutcome,
    RefundRequest,
    Rejected,
    Unknown,
)
from billing.gateway.stripe.amounts import InexpressibleAmount, positive_to_stripe
from billing.gateway.stripe.classify_refunds import (
    is_of,
    outcome_of_found,
    outcome_of_refund,
    outcome_of_refund_fault,
)
from billing.gateway.stripe.client import LOOK_BACK, UNUSABLE_KEY, Client, usable
from billing.gateway.stripe.faults import Faulted, garbage
from billing.gateway.stripe.fields import Json
from billing.gateway.stripe.objects import read_refund
from billing.gateway.transport import Deadline
from billing.gateway.untrusted import Malformed


class Refunds(Client):
    """Sends refunds and looks them up."""

    def refund(self, request: RefundRequest, *, first_send: bool) -> RefundOutcome:
        """Send a refund; every error is an outcome."""
        try:
            params = {
                "payment_intent": request.provider_payment_id,
                "amount": positive_to_stripe(request.amount),
                "metadata": dict(request.metadata),
            }
        except InexpressibleAmount as error:
            return Rejected("inexpressible_amount", str(error))
        if not usable(request.idempotency_key):
            return UNUSABLE_KEY
        deadline = Deadline(self._seconds)
        try:
            answer = self._send(
                "refund", "post", "/v1/refunds", params, deadline, key=request.idempotency_key
            )
            return outcome_of_refund(
                _refund(answer.data, answer.request_id), request, answer.request_id
            )
        except Faulted as failed:
            outcome = outcome_of_refund_fault(failed.fault, request, first_send=first_send)
        if isinstance(outcome, Rejected) and not first_send:
            return self._refused_again(request, outcome, deadline)
        return outcome

    def look_up_refund(
        self, request: RefundRequest, *, since: datetime
    ) -> RefundAccepted | Unknown | Absent:
        """Look up the outcome of a refund in the complete list of the payment's refunds."""
        created = {"gte": math.floor((since - LOOK_BACK).timestamp())}
        try:
            return self._look_for(request, {"created": created}, Deadline(self._seconds))
        except Faulted as failed:
            fault, payment = failed.fault, request.provider_payment_id
            return Unknown(fault.kind.value, fault.message, payment, fault.request_id)

    def _refused_again(
        self, request: RefundRequest, refusal: Rejected, deadline: Deadline
    ) -> RefundOutcome:
        """Return the outcome of a refusal that an earlier send of the refund may have caused."""
        try:
            found = self._look_for(request, {}, deadline)
        except Faulted as failed:
            fault = failed.fault
            if fault.code == "resource_missing":  # no payment, so no refund of it
                return refusal
            message, payment = fault.message, request.provider_payment_id
            return Unknown(refusal.error_class, message, payment, fault.request_id)
        return refusal if isinstance(found, Absent) else found

    def _look_for(
        self, request: RefundRequest, narrowed: Json, deadline: Deadline
    ) -> RefundAccepted | Unknown | Absent:
        params = {"payment_intent": request.provider_payment_id, **narrowed}
        found = [
            refund
            for page in self._pages("look_up_refund", "/v1/refunds", params, deadline)
            for refund in (_refund(item, None) for item in page)
            if is_of(refund, request)
        ]
        return outcome_of_found(found, request) if found else Absent()


def _refund(data: Json, request_id: str | None) -> ProviderRefund:
    try:
        return read_refund(data)
    except Malformed as error:
        raise Faulted(garbage(str(error), request_id)) from error
