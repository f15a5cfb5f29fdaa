"""Refunds at Braintree: transactions that give back what a sale brought.

A refund carries our id as its order id. A sale can be refunded once it is being settled.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from billing.gateway.braintree.amounts import UnwritableAmount, positive_to_text
from billing.gateway.braintree.classify import outcome_of_fault
from billing.gateway.braintree.client import segment
from billing.gateway.braintree.faults import RequestFault, RequestFaulted, garbage
from billing.gateway.braintree.fields import Node, texts
from billing.gateway.braintree.objects import read_refund
from billing.gateway.braintree.reads import TransactionReads
from billing.gateway.braintree.requests import order_of_refund, request_key
from billing.gateway.objects import ProviderRefund
from billing.gateway.outcomes import (
    Absent,
    Declined,
    Deferred,
    RefundAccepted,
    RefundOutcome,
    RefundRequest,
    Rejected,
    Unknown,
)
from billing.gateway.refund_outcomes import outcome_among, outcome_of
from billing.gateway.transport import Deadline

SETTLES_WITHIN: Final = timedelta(hours=1)
"""How long to wait before a sale that isn't being settled yet is asked about again."""
_WAITS_FOR_SETTLEMENT: Final = frozenset(
    {"authorizing", "authorized", "submitted_for_settlement", "settlement_pending"}
)


class TransactionRefunds(TransactionReads):
    """Sends refunds and looks them up."""

    def refund(self, request: RefundRequest, *, first_send: bool) -> RefundOutcome:
        """Send a refund; every error is an outcome.

        The sale is read first: a request that comes too early would use its key up.
        """
        try:
            params = {
                "amount": positive_to_text(request.amount),
                "api_request_key": request_key(request.idempotency_key),
                "order_id": order_of_refund(request),
            }
        except UnwritableAmount as error:
            return Rejected("inexpressible_amount", str(error))
        deadline = Deadline(self._seconds)
        try:
            early = self._too_early(request, deadline)
            return early or self._sent_refund(request, params, deadline)
        except RequestFaulted as failed:
            outcome = _of_fault(failed.fault, request, first_send=first_send)
        if isinstance(outcome, Rejected) and not first_send:
            return self._refused_again(request, outcome, deadline)
        return outcome

    def look_up_refund(
        self, request: RefundRequest, *, since: datetime
    ) -> RefundAccepted | Unknown | Absent:
        """Look up the outcome of a refund among those of its sale."""
        try:
            return self._look_for_refund(request, Deadline(self._seconds))
        except RequestFaulted as failed:
            fault, payment = failed.fault, request.provider_payment_id
            return Unknown(fault.kind.value, fault.message, payment, fault.request_id)

    def _too_early(self, request: RefundRequest, deadline: Deadline) -> Deferred | None:
        answer = self._retrieve("/transactions", request.provider_payment_id, deadline)
        if answer.data.get("status") not in _WAITS_FOR_SETTLEMENT:
            return None
        message = "the sale isn't being settled yet: its refund waits for that"
        return Deferred("not_settled", message, SETTLES_WITHIN, answer.request_id)

    def _sent_refund(
        self, request: RefundRequest, params: Mapping[str, str], deadline: Deadline
    ) -> RefundAccepted | Unknown:
        path = f"/transactions/{segment(request.provider_payment_id)}/refund"
        answer = self._send("refund", "post", path, {"transaction": dict(params)}, deadline)
        refund = _refund(answer.data, answer.request_id)
        if refund is None:
            raise RequestFaulted(garbage("expected a refund", answer.request_id))
        return outcome_of(
            refund,
            request,
            mark="id",
            has_mark=answer.data.get("order_id") == params["order_id"],
            request_id=answer.request_id,
        )

    def _refused_again(
        self, request: RefundRequest, refusal: Rejected, deadline: Deadline
    ) -> RefundOutcome:
        """Return the outcome of a refusal that an earlier send of the refund may have caused."""
        try:
            found = self._look_for_refund(request, deadline)
        except RequestFaulted as failed:
            fault = failed.fault
            if fault.missing:  # no sale, so no refund of it
                return refusal
            payment = request.provider_payment_id
            return Unknown(refusal.error_class, fault.message, payment, fault.request_id)
        return refusal if isinstance(found, Absent) else found

    def _look_for_refund(
        self, request: RefundRequest, deadline: Deadline
    ) -> RefundAccepted | Unknown | Absent:
        sale = self._retrieve("/transactions", request.provider_payment_id, deadline)
        order = order_of_refund(request)
        ours: list[ProviderRefund] = []
        for each in texts(sale.data.get("refund_ids")):
            data = self._refund_of_sale(each, deadline)
            refund = _refund(data, None)
            if refund is not None and data.get("order_id") == order:
                ours.append(refund)
        if not ours:
            return Absent()
        return outcome_among(ours, request, mark="id", alike="have the same order id")

    def _refund_of_sale(self, refund: str, deadline: Deadline) -> Node:
        """Retrieve a refund that its sale names: unlike a search, that is always up to date."""
        try:
            return self._retrieve("/transactions", refund, deadline).data
        except RequestFaulted as failed:
            if failed.fault.missing:
                message = f"the refund {refund} isn't there, but its sale names it"
                raise RequestFaulted(garbage(message, failed.fault.request_id)) from None
            raise


def _of_fault(
    fault: RequestFault, request: RefundRequest, *, first_send: bool
) -> Rejected | Deferred | Unknown:
    outcome = outcome_of_fault(
        fault, first_send=first_send, provider_payment_id=request.provider_payment_id
    )
    if isinstance(outcome, Declined):
        message = f"a refund can't be declined: {fault.message}"
        return Unknown(fault.kind.value, message, request.provider_payment_id, fault.request_id)
    return outcome


def _refund(data: Node, request_id: str | None) -> ProviderRefund | None:
    try:
        return read_refund("transaction", data)
    except ValueError as error:
        raise RequestFaulted(garbage(str(error), request_id)) from error
