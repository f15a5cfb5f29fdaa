"""Stripe behind the `Gateway` protocol: payments, customers and their cards.

`refunds` has refunds, `taxes` the calls of Stripe Tax, `reads` the read-only ones, `client` sends
requests, and `classify` decides the outcome of an answer.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from billing.errors import BadInput
from billing.gateway.capabilities import Capabilities
from billing.gateway.kinds import Doubt
from billing.gateway.objects import PaymentMethodDetails
from billing.gateway.outcomes import (
    Absent,
    ChargeRequest,
    Declined,
    Deferred,
    Outcome,
    Rejected,
    Unknown,
)
from billing.gateway.stripe.amounts import InexpressibleAmount, positive_to_stripe
from billing.gateway.stripe.classify import (
    EXPIRED_CODES,
    Fault,
    Intent,
    declined_by,
    difference_from,
    outcome_of_cancel,
    outcome_of_capture,
    outcome_of_fault,
    outcome_of_intent,
    outcome_of_refused_capture,
    read_intent,
)
from billing.gateway.stripe.client import (
    LOOK_BACK,
    UNUSABLE_KEY,
    Answer,
    Read,
    segment,
    unreadable,
    usable,
)
from billing.gateway.stripe.faults import Faulted, as_error, garbage, where_of
from billing.gateway.stripe.fields import Json, expect, reference
from billing.gateway.stripe.kind import CAPABILITIES
from billing.gateway.stripe.methods import (
    CARD,
    WALLETS,
    read_payment_method,
    takes_currency,
)
from billing.gateway.stripe.reads import Reads
from billing.gateway.stripe.refunds import Refunds
from billing.gateway.stripe.taxes import Taxes
from billing.gateway.transport import Deadline
from billing.gateway.untrusted import Malformed, mapping, required, text
from billing.rules.dunning import CURRENCY_NOT_SUPPORTED, OWN_CODES
from billing.rules.money import Money

CLOCK_SKEW: Final = timedelta(minutes=1)
_UNEXPECTED_STATE: Final = "payment_intent_unexpected_state"
_REFUSED_BY_STATE: Final = EXPIRED_CODES | {_UNEXPECTED_STATE, "charge_already_captured"}


class StripeGateway(Refunds, Reads, Taxes):
    """Collects payments through Stripe. Threads share one; make it after forking."""

    @property
    def capabilities(self) -> Capabilities:
        """What Stripe can do, and its limits."""
        return CAPABILITIES

    def charge(self, request: ChargeRequest, *, first_send: bool) -> Outcome:
        """Send one attempt; every error is an outcome."""
        if not takes_currency(request.method_type, request.amount.currency):
            return _takes_no(request)
        try:
            path, params = _charge_call(request)
        except InexpressibleAmount as error:
            return Rejected("inexpressible_amount", str(error))
        if not usable(request.idempotency_key):
            return UNUSABLE_KEY
        operation = "confirm" if request.provider_payment_id else "create_and_confirm"
        deadline = Deadline(self._seconds)
        try:
            answer = self._send(
                operation, "post", path, params, deadline, key=request.idempotency_key
            )
            return outcome_of_intent(_intent(answer), request, answer.request_id)
        except Faulted as failed:
            fault, known_id = failed.fault, request.provider_payment_id
            if known_id and fault.code == _UNEXPECTED_STATE:
                return self._settled_already(request, known_id, fault, deadline)
            return outcome_of_fault(fault, first_send=first_send, provider_payment_id=known_id)

    def look_up(self, request: ChargeRequest, *, since: datetime) -> Outcome | Absent:
        """Look up the outcome of an attempt by retrieves and complete lists."""
        deadline = Deadline(self._seconds)
        known_id = request.provider_payment_id
        try:
            if known_id:
                return self._look_up_known(request, known_id, since, deadline)
            return self._look_up_by_key(request, since, deadline)
        except Faulted as failed:
            fault = failed.fault
            return Unknown(fault.kind.value, fault.message, known_id, fault.request_id)

    def find_payment(self, request: ChargeRequest, *, since: datetime) -> Outcome | Absent:
        """Look for a PaymentIntent whose metadata names the same payment of ours."""
        ours = request.metadata["payment"]
        try:
            found = self._intents_naming(request, ours, since, Deadline(self._seconds))
        except Faulted as failed:
            fault = failed.fault
            return Deferred(fault.kind.value, fault.message, request_id=fault.request_id)
        by_any_attempt = replace(request, metadata={"payment": ours})
        return _outcome_of([each for each in found if each.status != "canceled"], by_any_attempt)

    def capture(self, provider_payment_id: str, amount: Money, *, idempotency_key: str) -> Outcome:
        """Capture an authorised payment; when its state forbids it, the outcome follows from that
        state.
        """
        try:
            params = {"amount_to_capture": positive_to_stripe(amount)}
        except InexpressibleAmount as error:
            return Rejected("inexpressible_amount", str(error))
        if not usable(idempotency_key):
            return UNUSABLE_KEY
        deadline = Deadline(self._seconds)
        path = f"{_intent_path(provider_payment_id)}/capture"
        try:
            answer = self._send("capture", "post", path, params, deadline, key=idempotency_key)
            return outcome_of_capture(
                _intent(answer), provider_payment_id, amount, answer.request_id
            )
        except Faulted as failed:
            fault = failed.fault
        if fault.code not in _REFUSED_BY_STATE:
            # The request may be a repetition, so only a refusal by Stripe itself is definite.
            return outcome_of_fault(
                fault, first_send=False, provider_payment_id=provider_payment_id
            )
        try:
            intent = _intent(self._retrieve(provider_payment_id, deadline))
        except Faulted as failed:
            label = fault.code or fault.kind.value
            return Unknown(label, failed.fault.message, provider_payment_id)
        return outcome_of_refused_capture(fault, intent, provider_payment_id, amount)

    def cancel(self, provider_payment_id: str, *, idempotency_key: str) -> Outcome | Absent:
        """Cancel a PaymentIntent; `Absent` when it is canceled, also when it was before."""
        deadline = Deadline(self._seconds)
        path = f"{_intent_path(provider_payment_id)}/cancel"
        try:
            try:
                answer = self._send("cancel", "post", path, {}, deadline, key=idempotency_key)
            except Faulted as failed:
                if failed.fault.code != _UNEXPECTED_STATE:
                    raise
                answer = self._retrieve(provider_payment_id, deadline)
            intent = _intent(answer)
        except Faulted as failed:
            return outcome_of_fault(
                failed.fault, first_send=True, provider_payment_id=provider_payment_id
            )
        if intent.id != provider_payment_id:
            message = "the answer is about another PaymentIntent"
            return Unknown("wrong_id", message, provider_payment_id, answer.request_id)
        return outcome_of_cancel(intent, answer.request_id)

    def create_customer(
        self, *, name: str, email: str | None, metadata: Mapping[str, str], idempotency_key: str
    ) -> str:
        """Create the provider's customer and return its id."""
        params: dict[str, object] = {"name": name}
        if email:
            params["email"] = email
        if metadata:
            params["metadata"] = dict(metadata)
        answer = self._ask("create_customer", "post", "/v1/customers", params, key=idempotency_key)
        return _understood(answer, _customer_id)

    def look_up_customer(self, metadata: Mapping[str, str], *, since: datetime) -> str | Absent:
        """Return the id of the customer that carries the metadata, the first one made."""
        created = {"gte": math.floor((since - LOOK_BACK).timestamp())}
        try:
            found = [
                customer
                for page in self._pages("look_up", "/v1/customers", {"created": created}, None)
                for customer in page
                if metadata.items() <= mapping(customer.get("metadata")).items()
            ]
        except Faulted as failed:
            raise as_error(failed.fault) from None
        return _understood(Answer(found[-1], "", None), _customer_id) if found else Absent()

    def attach_payment_method(
        self, provider_customer_id: str, token: str, *, idempotency_key: str
    ) -> PaymentMethodDetails:
        """Attach a payment method token and return what the customer recognises it by."""
        path = f"/v1/payment_methods/{segment(token)}/attach"
        params = {"customer": provider_customer_id}
        answer = self._ask("attach_payment_method", "post", path, params, key=idempotency_key)
        attached = _understood(answer, read_payment_method)
        if attached is None:
            raise BadInput(
                f"{token} is a payment method of the type {text(answer.data, 'type')!r}, which"
                " can't be charged without its owner here",
                where=where_of(answer.request_id),
                remedy=f"ask the customer for a card or for {' or '.join(WALLETS)}",
            )
        return attached

    def check(self) -> None:
        """Prove that Stripe answers and that the key may read payments."""
        self._ask("check", "get", "/v1/payment_intents", {"limit": 1})

    def _settled_already(
        self, request: ChargeRequest, known_id: str, fault: Fault, deadline: Deadline
    ) -> Outcome:
        """Return the outcome of a confirm that was refused because of the state: it may have been
        paid.
        """
        try:
            answer = self._retrieve(known_id, deadline)
            intent = _intent(answer)
        except Faulted as failed:
            return Unknown(fault.code or fault.kind.value, failed.fault.message, known_id)
        if intent.status in ("requires_payment_method", "requires_confirmation"):
            # It could be confirmed now, so the refusal is about a state that has passed.
            return Unknown(
                fault.code or fault.kind.value, fault.message, known_id, fault.request_id
            )
        return outcome_of_intent(intent, request, answer.request_id)

    def _look_up_known(
        self, request: ChargeRequest, known_id: str, since: datetime, deadline: Deadline
    ) -> Outcome | Absent:
        answer = self._retrieve(known_id, deadline)
        intent = _intent(answer)
        waiting = intent.status in ("requires_payment_method", "requires_confirmation")
        if not waiting or difference_from(intent, request) is not None:
            return outcome_of_intent(intent, request, answer.request_id)
        # Not paid. The last error may be an earlier attempt's: only a charge made since
        # this one was sent shows that this one was declined.
        params = {
            "payment_intent": known_id,
            "created": {"gte": math.floor((since - CLOCK_SKEW).timestamp())},
        }
        charges = [c for p in self._pages("look_up", "/v1/charges", params, deadline) for c in p]
        if not charges:
            return Absent()
        if any(charge.get("status") != "failed" for charge in charges):
            message = "the PaymentIntent is unpaid, but one of its charges did not fail"
            return Unknown("contradiction", message, known_id, answer.request_id)
        return declined_by(_decline_of(charges[0], intent), known_id, answer.request_id)

    def _look_up_by_key(
        self, request: ChargeRequest, since: datetime, deadline: Deadline
    ) -> Outcome | Absent:
        key = request.idempotency_key
        return _outcome_of(self._intents_naming(request, key, since, deadline), request)

    def _intents_naming(
        self, request: ChargeRequest, named: str, since: datetime, deadline: Deadline
    ) -> list[Intent]:
        """Return the customer's PaymentIntents with that value in their metadata, newest first."""
        params = {
            "customer": request.provider_customer_id,
            "created": {"gte": math.floor((since - LOOK_BACK).timestamp())},
        }
        return [
            _readable(item)
            for page in self._pages("look_up", "/v1/payment_intents", params, deadline)
            for item in page
            if named in mapping(item.get("metadata")).values()
        ]

    def _retrieve(self, provider_payment_id: str, deadline: Deadline) -> Answer:
        return self._send("retrieve", "get", _intent_path(provider_payment_id), {}, deadline)


def _outcome_of(found: Sequence[Intent], request: ChargeRequest) -> Outcome | Absent:
    """Return the outcome that a payment's PaymentIntents show; at most one of them is live."""
    if not found:
        return Absent()
    live = [i for i in found if i.status not in ("canceled", "requires_payment_method")]
    if len(live) > 1:
        ids = " and ".join(intent.id for intent in live)
        return Unknown(Doubt.SEVERAL_PAYMENTS, f"{ids} carry the same key", live[0].id)
    intent = live[0] if live else found[0]
    unpaid = intent.status in ("requires_payment_method", "requires_confirmation")
    if unpaid and not intent.last_error and difference_from(intent, request) is None:
        return Absent()  # created, but never confirmed: nobody was charged
    return outcome_of_intent(intent, request)


def _takes_no(request: ChargeRequest) -> Declined:
    """Return the outcome of a charge in a currency that its payment method doesn't take."""
    return Declined(
        CURRENCY_NOT_SUPPORTED,
        OWN_CODES[CURRENCY_NOT_SUPPORTED],
        message=f"{request.method_type} takes no {request.amount.currency} at Stripe",
        provider_payment_id=request.provider_payment_id,
    )


def _charge_call(request: ChargeRequest) -> tuple[str, Json]:
    """Return path and parameters; the same request makes the same bytes."""
    amount = positive_to_stripe(request.amount)
    if request.provider_payment_id:
        path = f"{_intent_path(request.provider_payment_id)}/confirm"
        confirming = {"payment_method": request.payment_method, "off_session": True}
        if request.method_type is not None:  # an earlier attempt may have been of another type
            confirming["payment_method_types"] = [request.method_type]
        return path, confirming
    params: dict[str, object] = {
        "amount": amount,
        "currency": request.amount.currency.lower(),
        "customer": request.provider_customer_id,
        "payment_method": request.payment_method,
        "payment_method_types": [request.method_type or CARD],
        "capture_method": "manual" if request.manual_capture else "automatic",
        "off_session": True,
        "confirm": True,
        "metadata": dict(request.metadata),
    }
    if request.description:
        params["description"] = request.description
    return "/v1/payment_intents", params


def _intent(answer: Answer) -> Intent:
    return _readable(answer.data, answer.request_id)


def _readable(data: Json, request_id: str | None = None) -> Intent:
    try:
        return read_intent(data)
    except Malformed as error:
        raise Faulted(garbage(str(error), request_id)) from error


def _decline_of(charge: Json, intent: Intent) -> Json:
    """Return the codes of a failed charge, from the PaymentIntent's last error if it is its."""
    if reference(intent.last_error.get("charge")) in (None, charge.get("id")):
        return intent.last_error
    outcome = mapping(charge.get("outcome"))
    return {
        "decline_code": outcome.get("reason") or charge.get("failure_code"),
        "advice_code": outcome.get("advice_code"),
        "message": charge.get("failure_message"),
    }


def _customer_id(data: Json) -> str:
    expect(data, "customer")
    return required(data, "id")


def _understood(answer: Answer, read: Callable[[Json], Read]) -> Read:
    try:
        return read(answer.data)
    except Malformed as error:
        raise unreadable("the request", str(error), answer.request_id) from error


def _intent_path(provider_payment_id: str) -> str:
    return f"/v1/payment_intents/{segment(provider_payment_id)}"
