"""The outcome of each answer of Stripe, from plain facts and without any I/O.

The Stripe modules reduce an exception to a `Fault` and an object to an `Intent`; this module
decides what is known for certain. In doubt the outcome is `Unknown`: asking again under the same
key costs a request, a wrong "no" costs the customer a second payment.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from billing.gateway import (
    Absent,
    ActionRequired,
    ChargeRequest,
    Declined,
    Deferred,
    Outcome,
    Rejected,
    Succeeded,
    Unknown,
    canceled,
)
from billing.gateway.kinds import FaultKind
from billing.gateway.stripe.declines import DECLINING_ERRORS, classify
from billing.gateway.stripe.fields import expect, integer, money, reference
from billing.gateway.untrusted import mapping, required, text
from billing.rules.dunning import METHOD_UNUSABLE, OWN_CODES
from billing.rules.money import Money
from billing.rules.payments import RefusalReason


@dataclass(frozen=True, slots=True)
class Fault:
    """One request without an object as its answer: the facts of the refusal or the failure."""

    kind: FaultKind
    message: str
    code: str | None = None
    param: str | None = None
    decline_code: str | None = None
    advice_code: str | None = None
    intent_id: str | None = None
    intent_status: str | None = None
    request_id: str | None = None
    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Intent:
    """The facts of a PaymentIntent that decide the outcome."""

    id: str
    status: str
    amount: Money
    received: Money
    customer: str | None
    metadata: Mapping[str, object]
    created: int
    latest_charge: str | None
    last_error: Mapping[str, object] = field(default_factory=dict)


# Refused, and this request moved nothing. After an earlier send only the first kind still
# says so: Stripe answers 403 before it looks at the key, and the complaint about a reused
# key proves that something else was executed under it.
_REFUSED: Final = frozenset({FaultKind.INVALID_REQUEST})
_REFUSED_ON_FIRST_SEND: Final = frozenset({FaultKind.PERMISSION, FaultKind.IDEMPOTENCY})
# Not executed, may be sent again as it is. After an earlier send this doesn't tell its outcome.
_DEFERRED_ON_FIRST_SEND: Final = frozenset(
    {FaultKind.AUTHENTICATION, FaultKind.RATE_LIMIT, FaultKind.NOT_SENT}
)
# Codes of another request at work, with any status.
_BUSY_CODES: Final = frozenset({"idempotency_key_in_use", "lock_timeout"})
# An authorisation that expired before it was captured.
EXPIRED_CODES: Final = frozenset(
    {"charge_expired_for_capture", "capture_charge_authorization_expired"}
)
_NEVER_AUTHORISED: Final = frozenset(
    {"requires_payment_method", "requires_confirmation", "requires_action"}
)
_MONEY_MOVES: Final = frozenset({"succeeded", "processing", "requires_capture"})


def outcome_of_fault(
    fault: Fault, *, first_send: bool, provider_payment_id: str | None = None
) -> Outcome:
    """Return the outcome of an attempt whose request failed."""
    if fault.kind is FaultKind.CARD or _is_decline(fault):
        return _declined(fault, provider_payment_id)
    refused = fault.kind in _REFUSED or (first_send and fault.kind in _REFUSED_ON_FIRST_SEND)
    if refused and _method_is_gone(fault):
        return Declined(
            METHOD_UNUSABLE,
            OWN_CODES[METHOD_UNUSABLE],
            message=fault.message,
            provider_payment_id=fault.intent_id or provider_payment_id,
            request_id=fault.request_id,
        )
    if refused and fault.code not in _BUSY_CODES:
        return _rejected(fault)
    if first_send and fault.kind in _DEFERRED_ON_FIRST_SEND:
        return Deferred(fault.kind.value, fault.message, fault.retry_after, fault.request_id)
    return Unknown(fault.kind.value, fault.message, provider_payment_id, fault.request_id)


def _is_decline(fault: Fault) -> bool:
    """Tell whether a refused request has the code of a decline: wallets may answer with a 400."""
    return fault.kind in _REFUSED and fault.code in DECLINING_ERRORS


def _method_is_gone(fault: Fault) -> bool:
    """Tell whether a request was refused because its payment method can't be used any more.

    It was detached from the customer, which has no code or tells the method's state, or deleted, or
    it has no mandate, which is told in words only. One that exists in the other mode is our
    mistake, and no customer's.
    """
    if fault.kind is not FaultKind.INVALID_REQUEST or "similar object exists" in fault.message:
        return False
    is_missing = fault.param == "payment_method" and fault.code in (None, "resource_missing")
    lacks_mandate = fault.code is None and "requires a mandate" in fault.message
    return is_missing or lacks_mandate or fault.code == "payment_method_unexpected_state"


def outcome_of_intent(
    intent: Intent, request: ChargeRequest, request_id: str | None = None
) -> Outcome:
    """Return the outcome of an attempt from a PaymentIntent; another payment's is never its
    success.
    """
    difference = difference_from(intent, request)
    if difference is not None:
        message = f"the answer has another {difference} than the request"
        return Unknown(f"wrong_{difference}", message, request.provider_payment_id, request_id)
    match intent.status:
        case "succeeded" if intent.received != request.amount:
            message = f"{intent.received} was captured, not {request.amount}"
            return Unknown("wrong_amount", message, intent.id, request_id)
        case "succeeded":
            return _succeeded(intent, request_id, captured=True)
        case "requires_capture" if request.manual_capture:
            return _succeeded(intent, request_id, captured=False)
        case "requires_payment_method" if intent.last_error:
            return declined_by(intent.last_error, intent.id, request_id)
        case "requires_action":
            return ActionRequired(intent.id, "the customer must authenticate", request_id)
        case "canceled":
            message = f"{intent.id} is canceled and can't be paid"
            return canceled(message, request_id)
        case other:
            label = "processing" if other == "processing" else "unexpected_status"
            return Unknown(label, f"the PaymentIntent is {other}", intent.id, request_id)


def outcome_of_cancel(intent: Intent, request_id: str | None = None) -> Outcome | Absent:
    """Return the outcome of canceling a PaymentIntent."""
    match intent.status:
        case "canceled":
            return Absent()
        case "succeeded":
            return _succeeded(intent, request_id, captured=True)
        case other:
            message = f"the PaymentIntent is {other}, not canceled"
            return Unknown("not_canceled", message, intent.id, request_id)


def outcome_of_capture(
    intent: Intent, provider_payment_id: str, amount: Money, request_id: str | None = None
) -> Outcome:
    """Return the outcome of a capture from its PaymentIntent; another sum is never its success."""
    if intent.id != provider_payment_id:
        message = "the answer is about another PaymentIntent"
        return Unknown("wrong_id", message, provider_payment_id, request_id)
    match intent.status:
        case "succeeded" if intent.received == amount:
            return _succeeded(intent, request_id, captured=True)
        case "succeeded":
            message = f"{intent.received} was captured, not {amount}"
            return Unknown("wrong_amount", message, intent.id, request_id)
        case "requires_payment_method" if intent.last_error:
            return declined_by(intent.last_error, intent.id, request_id)
        case "canceled":
            message = f"{intent.id} is canceled and can't be captured"
            return canceled(message, request_id)
        case other:
            label = "processing" if other == "processing" else "unexpected_status"
            return Unknown(label, f"the PaymentIntent is {other}", intent.id, request_id)


def outcome_of_refused_capture(
    fault: Fault, intent: Intent, provider_payment_id: str, amount: Money
) -> Outcome:
    """Return the outcome of a capture that was refused because of the payment's present state."""
    if intent.id == provider_payment_id:
        refusal = _rejected(fault)
        if intent.status in _NEVER_AUTHORISED:
            return refusal
        if intent.status == "requires_capture":
            if fault.code in EXPIRED_CODES:
                return refusal
            # It could be captured now, so the refusal is about a state that has passed.
            return Unknown(refusal.error_class, fault.message, intent.id, fault.request_id)
    return outcome_of_capture(intent, provider_payment_id, amount, fault.request_id)


def declined_by(
    error: Mapping[str, object], provider_payment_id: str, request_id: str | None
) -> Declined:
    """Return the decline that a `last_payment_error` records."""
    code = text(error, "decline_code") or text(error, "code") or "generic_decline"
    decline_class, advice = classify(code, text(error, "advice_code"))
    return Declined(
        code, decline_class, advice, text(error, "message") or "", provider_payment_id, request_id
    )


def difference_from(intent: Intent, request: ChargeRequest) -> str | None:
    """Return the first difference that shows the PaymentIntent to be another payment's, if any."""
    if request.provider_payment_id not in (None, intent.id):
        return "id"
    if intent.amount.currency != request.amount.currency:
        return "currency"
    if intent.amount != request.amount:
        return "amount"
    if intent.customer != request.provider_customer_id:
        return "customer"
    # A later attempt confirms by id; its metadata is the creating attempt's, and an
    # operator may have edited it since.
    if request.provider_payment_id is None and any(
        intent.metadata.get(name, "") != value for name, value in request.metadata.items()
    ):
        return "metadata"
    return None


def read_intent(data: Mapping[str, object]) -> Intent:
    """Read a PaymentIntent. Raises: Malformed."""
    expect(data, "payment_intent")
    amount = money(data, "amount")
    received = money(data, "amount_received") if data.get("amount_received") is not None else amount
    return Intent(
        id=required(data, "id"),
        status=required(data, "status"),
        amount=amount,
        received=received,
        customer=reference(data.get("customer")),
        metadata=mapping(data.get("metadata")),
        created=integer(data, "created"),
        latest_charge=reference(data.get("latest_charge")),
        last_error=mapping(data.get("last_payment_error")),
    )


def _declined(fault: Fault, provider_payment_id: str | None) -> Outcome:
    intent_id = fault.intent_id or provider_payment_id
    code = fault.decline_code or fault.code
    doubt = (
        (code is None and "a 402 that is no card's")
        or (fault.intent_status in _MONEY_MOVES and f"a decline, but {fault.intent_status}")
        or (provider_payment_id not in (None, intent_id) and "a decline of another payment")
    )
    if doubt or code is None:
        return Unknown(fault.kind.value, str(doubt), provider_payment_id, fault.request_id)
    decline_class, advice = classify(code, fault.advice_code)
    return Declined(code, decline_class, advice, fault.message, intent_id, fault.request_id)


def _rejected(fault: Fault) -> Rejected:
    code = fault.code or fault.kind.value
    expired = code in EXPIRED_CODES
    reason = RefusalReason.AUTHORIZATION_EXPIRED if expired else RefusalReason.OTHER
    return Rejected(code, fault.message, fault.request_id, reason)


def _succeeded(intent: Intent, request_id: str | None, *, captured: bool) -> Succeeded:
    amount = intent.received if captured else intent.amount
    return Succeeded(intent.id, amount, captured, intent.latest_charge, request_id)
