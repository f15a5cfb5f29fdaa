"""Braintree as a `Gateway`: charges, captures, customers and their payment methods.

There is no payment before money moves: each attempt is a transaction of its own, whose order id
names payment and attempt.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from billing.gateway.braintree.amounts import UnwritableAmount, positive_to_text
from billing.gateway.braintree.classify import (
    NOT_AUTHORISED,
    NOT_VOIDABLE,
    Sale,
    outcome_of_cancel,
    outcome_of_capture,
    outcome_of_fault,
    outcome_of_found,
    outcome_of_refused_capture,
    outcome_of_sale,
    read_sale,
)
from billing.gateway.braintree.client import LOOK_BACK, ParsedAnswer, created_in, segment
from billing.gateway.braintree.faults import KEY_USED_UP, RequestFaulted, garbage
from billing.gateway.braintree.fields import Node
from billing.gateway.braintree.kind import CAPABILITIES, FEES_FROM_PAYOUTS
from billing.gateway.braintree.merchant_accounts import MerchantAccounts
from billing.gateway.braintree.refunds import TransactionRefunds
from billing.gateway.braintree.requests import order_of, orders_of, request_key, sale_of
from billing.gateway.braintree.settlement import Settlement
from billing.gateway.braintree.vault import Vault
from billing.gateway.capabilities import Capabilities
from billing.gateway.kinds import Doubt, FaultKind
from billing.gateway.outcomes import Absent, ChargeRequest, Deferred, Outcome, Rejected, Unknown
from billing.gateway.transport import Deadline
from billing.rules.money import Money

SEARCH_LAG: Final = timedelta(hours=1)
"""How long a transaction may be missing from searches, whose consistency isn't promised."""


class BraintreeGateway(TransactionRefunds, Vault, Settlement, MerchantAccounts):
    """Collects payments through Braintree. Threads share one; make it after forking."""

    @property
    def capabilities(self) -> Capabilities:
        """What Braintree can do, and its limits."""
        return FEES_FROM_PAYOUTS if self._fees_from_disbursement else CAPABILITIES

    def charge(self, request: ChargeRequest, *, first_send: bool) -> Outcome:
        """Send one attempt; every error is an outcome."""
        try:
            params = sale_of(request, self._merchant_accounts)
        except UnwritableAmount as error:
            return Rejected("inexpressible_amount", str(error))
        deadline = Deadline(self._seconds)
        try:
            unfit = self._unfit(request.amount.currency, deadline, first_send=first_send)
            if unfit is not None:
                return unfit
            answer = self._send("sale", "post", "/transactions", {"transaction": params}, deadline)
            outcome = outcome_of_sale(_sale(answer), request, order_of(request), answer.request_id)
        except RequestFaulted as failed:
            fault = failed.fault
            outcome = outcome_of_fault(fault, first_send=first_send)
            if KEY_USED_UP not in fault.codes:
                return outcome
        else:
            if not _was_duplicate(outcome):
                return outcome
        found = self._look_for(request, None, deadline)
        return outcome if isinstance(found, Absent) else found

    def look_up(self, request: ChargeRequest, *, since: datetime) -> Outcome | Absent:
        """Look up the outcome of an attempt by its order id.

        It is absent only when it was sent longer ago than searches may lag, by Braintree's clock.
        """
        return self._look_for(request, since, Deadline(self._seconds))

    def find_payment(self, request: ChargeRequest, *, since: datetime) -> Outcome | Absent:
        """Look for a live transaction whose order id names the same payment of ours."""
        begins = {"starts_with": orders_of(request.metadata["payment"])}
        try:
            found, _ = self._sales(begins, since, Deadline(self._seconds))
        except RequestFaulted as failed:
            fault = failed.fault
            return Deferred(fault.kind.value, fault.message, request_id=fault.request_id)
        return outcome_of_found([each for each in found if each.is_live], request, None)

    def capture(self, provider_payment_id: str, amount: Money, *, idempotency_key: str) -> Outcome:
        """Submit an authorisation for settlement; when its state forbids it, the outcome follows
        from that state.
        """
        try:
            written = positive_to_text(amount)
        except UnwritableAmount as error:
            return Rejected("inexpressible_amount", str(error))
        deadline = Deadline(self._seconds)
        path = f"/transactions/{segment(provider_payment_id)}/submit_for_settlement"
        params = {"amount": written, "api_request_key": request_key(idempotency_key)}
        try:
            answer = self._send("capture", "put", path, {"transaction": params}, deadline)
            return outcome_of_capture(_sale(answer), provider_payment_id, amount, answer.request_id)
        except RequestFaulted as failed:
            fault = failed.fault
        if not fault.codes & {NOT_AUTHORISED, KEY_USED_UP}:
            # The request may be a repetition, so only a refusal of this one is definite.
            return outcome_of_fault(
                fault, first_send=False, provider_payment_id=provider_payment_id
            )
        try:
            sale = self._transaction(provider_payment_id, deadline)
        except RequestFaulted as failed:
            return Unknown(fault.word, failed.fault.message, provider_payment_id)
        return outcome_of_refused_capture(fault, sale, provider_payment_id, amount)

    def cancel(self, provider_payment_id: str, *, idempotency_key: str) -> Outcome | Absent:
        """Void an authorisation; `Absent` when it is voided, also when it was before.

        What was submitted for settlement could be voided, too, but is the customer's payment.
        """
        deadline = Deadline(self._seconds)
        path = f"/transactions/{segment(provider_payment_id)}/void"
        params = {"transaction": {"api_request_key": request_key(idempotency_key)}}
        try:
            sale = self._transaction(provider_payment_id, deadline)
            if sale.status != "authorized":
                return outcome_of_cancel(sale)
            try:
                answer = self._send("cancel", "put", path, params, deadline)
                sale, request_id = _sale(answer), answer.request_id
            except RequestFaulted as failed:
                if not failed.fault.codes & {NOT_VOIDABLE, KEY_USED_UP}:
                    raise
                sale, request_id = self._transaction(provider_payment_id, deadline), None
        except RequestFaulted as failed:
            return outcome_of_fault(
                failed.fault, first_send=True, provider_payment_id=provider_payment_id
            )
        return outcome_of_cancel(sale, request_id)

    def _look_for(
        self, request: ChargeRequest, since: datetime | None, deadline: Deadline
    ) -> Outcome | Absent:
        order = order_of(request)
        try:
            found, answered_at = self._sales({"is": order}, since, deadline)
        except RequestFaulted as failed:
            fault = failed.fault
            return Unknown(fault.kind.value, fault.message, None, fault.request_id)
        if found or since is None:
            return outcome_of_found(found, request, order)
        if answered_at is None or answered_at - since < SEARCH_LAG:
            message = f"no transaction of the order {order} yet, and searches may lag"
            return Unknown(Doubt.NOT_FOUND_YET, message)
        return Absent()

    def _sales(
        self, order: Node, since: datetime | None, deadline: Deadline
    ) -> tuple[list[Sale], datetime | None]:
        """Return the sales of an order and when the search was answered. Raises: RequestFaulted."""
        made = created_in(None if since is None else since - LOOK_BACK, None)
        criteria: Mapping[str, object] = {"order_id": order, "type": ["sale"], **made}
        found = self._search("look_up", "transactions", criteria, deadline)
        return [_readable(each) for each in found.all()], found.answered_at

    def _transaction(self, provider_payment_id: str, deadline: Deadline) -> Sale:
        answer = self._retrieve("/transactions", provider_payment_id, deadline)
        sale = _sale(answer)
        if sale.id != provider_payment_id:
            raise RequestFaulted(garbage("it is about another transaction", answer.request_id))
        return sale


def _was_duplicate(outcome: Outcome) -> bool:
    return isinstance(outcome, Unknown) and outcome.error_class == FaultKind.CONFLICT


def _sale(answer: ParsedAnswer) -> Sale:
    if answer.name != "transaction":
        raise RequestFaulted(garbage("expected a transaction", answer.request_id))
    return _readable(answer.data, answer.request_id)


def _readable(data: Node, request_id: str | None = None) -> Sale:
    try:
        return read_sale(data)
    except ValueError as error:
        raise RequestFaulted(garbage(str(error), request_id)) from error
