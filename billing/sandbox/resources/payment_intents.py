"""PaymentIntents: one amount to collect. Each succeeds at most once."""

from typing import Any

from billing.sandbox.call import Call
from billing.sandbox.currencies import check_amount, currency
from billing.sandbox.declines import decline_error
from billing.sandbox.errors import ApiError, Reply, error_body, refused
from billing.sandbox.ids import new_id
from billing.sandbox.listing import VISIBLE, list_page, list_params
from billing.sandbox.params import (
    Params,
    boolean,
    choice,
    choices,
    integer,
    metadata,
    nested,
    text,
    texts,
)
from billing.sandbox.resources import charges
from billing.sandbox.resources.confirming import charge_intent, check_method, method_for
from billing.sandbox.resources.events import record_event
from billing.sandbox.resources.intent_view import KIND, render
from billing.sandbox.routing import Route
from billing.sandbox.store import Record
from billing.sandbox.wallets import CARD, TYPES, check_currency

_OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")
_CANCELABLE = (*_OPEN, "requires_capture")
_CONFIRMED = {
    "succeeded": "payment_intent.succeeded",
    "requires_capture": "payment_intent.amount_capturable_updated",
    "requires_action": "payment_intent.requires_action",
}
_REASONS = ("abandoned", "duplicate", "fraudulent", "requested_by_customer")


def create(call: Call) -> Reply:
    """Create a PaymentIntent and, when asked to, confirm it in the same transaction."""
    params = call.params
    check_amount(params["amount"], params["currency"])
    if "customer" in params:
        call.named_by("customer", params["customer"], "customer")
    if "off_session" in params and not params.get("confirm"):
        raise refused("off_session can only be used with confirm=true.", param="off_session")
    record = _new_record(call)
    check_currency(record["types"], record["currency"])
    if "payment_method" in params:
        method = method_for(call, params["payment_method"], record["customer"])
        record.update(payment_method=method["id"], status="requires_confirmation")
    call.store.insert("payment_intent", record)
    record_event(call, "payment_intent.created", KIND, record)
    if params.get("confirm"):
        return _confirm_record(call, record)
    return Reply(200, render(call, record))


def _new_record(call: Call) -> Record:
    params = call.params
    record: Record = {
        "id": new_id("pi"),
        "created": call.now,
        "amount": params["amount"],
        "currency": params["currency"],
        "customer": params.get("customer"),
        "description": params.get("description"),
        "metadata": params.get("metadata", {}),
        "capture_method": params.get("capture_method", "automatic_async"),
        "confirmation_method": params.get("confirmation_method", "automatic"),
        "types": params.get("payment_method_types", [CARD]),
        "status": "requires_payment_method",
        "payment_method": None,
        "latest_charge": None,
        "received": 0,
    }
    if "automatic_payment_methods" in params:
        chosen = params["automatic_payment_methods"]
        record["automatic"] = {"allow_redirects": "always", **chosen} if chosen["enabled"] else None
    for name in _PASSED_ON:
        if name in params:
            record[name] = params[name]
    return record


def _confirm(call: Call) -> Reply:
    record = call.named_in_path("payment_intent", "intent")
    if record["status"] not in _OPEN:
        status = record["status"]
        why = (
            "it has already succeeded after being previously confirmed"
            if status == "succeeded"
            else f"it has a status of {status}"
        )
        raise _unexpected(call, record, f"You cannot confirm this PaymentIntent because {why}.")
    return _confirm_record(call, record)


def _confirm_record(call: Call, record: Record) -> Reply:
    chosen = call.params.get("payment_method") if call.path else None
    method_id = chosen or record["payment_method"]
    if method_id is None:
        raise _unexpected(
            call,
            record,
            "You cannot confirm this PaymentIntent because it's missing a payment method.",
        )
    for name in ("capture_method", "receipt_email", "setup_future_usage"):
        if name in call.params:
            record[name] = call.params[name]
    if "payment_method_types" in call.params:
        record["types"] = call.params["payment_method_types"]
        check_currency(record["types"], record["currency"])
    method = method_for(call, method_id, record["customer"])
    check_method(call, record, method)
    decline = charge_intent(call, record, method)
    call.store.update(record)
    if decline is not None:
        record_event(call, "payment_intent.payment_failed", KIND, record)
        body = render(call, record)
        error = body["last_payment_error"]
        made = {"charge": error["charge"], "payment_method": error["payment_method"]}
        return Reply(402, decline_error(decline, **made, payment_intent=body))
    record_event(call, _CONFIRMED[record["status"]], KIND, record)
    if record["status"] == "requires_capture":
        expires = call.now + call.settings.authorization_seconds
        call.store.remind(expires, "payment_intent.expire", record["id"])
    return Reply(200, render(call, record))


def _capture(call: Call) -> Reply:
    record = call.named_in_path("payment_intent", "intent")
    if record["status"] != "requires_capture":
        raise _unexpected(
            call,
            record,
            "This PaymentIntent could not be captured because it has a status of"
            f" {record['status']}. Only a PaymentIntent with the status requires_capture may be"
            " captured.",
        )
    amount = call.params.get("amount_to_capture", record["amount"])
    if amount > record["amount"]:
        raise refused(
            f"The requested capture amount ({amount}) is greater than the authorized amount"
            f" ({record['amount']}).",
            code="amount_too_large",
            param="amount_to_capture",
        )
    charge = call.stored("charge", record["latest_charge"])
    charges.settle(call, charge, record, amount)
    call.store.update(charge)
    record.update(status="succeeded", received=amount)
    call.store.update(record)
    record_event(call, "charge.captured", charges.KIND, charge)
    record_event(call, "payment_intent.succeeded", KIND, record)
    return Reply(200, render(call, record))


def _cancel(call: Call) -> Reply:
    record = call.named_in_path("payment_intent", "intent")
    if record["status"] not in _CANCELABLE:
        raise _unexpected(
            call,
            record,
            f"You cannot cancel this PaymentIntent because it has a status of {record['status']}."
            " Only a PaymentIntent with one of the following statuses may be canceled:"
            f" {', '.join(_CANCELABLE)}.",
        )
    if record["status"] == "requires_capture":
        _release(call, record, "charge.refunded")
    _canceled(call, record, call.params.get("cancellation_reason"))
    return Reply(200, render(call, record))


def _release(call: Call, record: Record, event: str) -> None:
    """Let go of an authorisation that nothing was captured of."""
    charge = call.stored("charge", record["latest_charge"])
    charge["refunded"] = charge["amount"]
    call.store.update(charge)
    record_event(call, event, charges.KIND, charge)


def _canceled(call: Call, record: Record, reason: str | None) -> None:
    record.update(status="canceled", canceled_at=call.now, next_action=False)
    record["cancellation_reason"] = reason
    call.store.update(record)
    record_event(call, "payment_intent.canceled", KIND, record)


def expire(call: Call, intent_id: str) -> None:
    """Cancel an intent whose authorisation was never captured."""
    record = call.stored("payment_intent", intent_id)
    if record["status"] == "requires_capture":
        _release(call, record, "charge.expired")
        _canceled(call, record, "automatic")


def _unexpected(call: Call, record: Record, message: str) -> ApiError:
    body = error_body(
        "invalid_request_error",
        message,
        code="payment_intent_unexpected_state",
        payment_intent=render(call, record),
    )
    return ApiError.carrying(400, body)


def _retrieve(call: Call) -> Reply:
    return Reply(200, render(call, call.named_in_path("payment_intent", "intent")))


def _list(call: Call) -> Reply:
    customer = call.params.get("customer")
    conditions: list[tuple[str, Any]] = [] if customer is None else [("owner = ?", customer)]
    return list_page(call, KIND, "/v1/payment_intents", [*conditions, VISIBLE])


def _off_session(raw: Any, name: str) -> bool:
    return raw in ("one_off", "recurring") or boolean(raw, name)


_PASSED_ON = (
    "receipt_email",
    "setup_future_usage",
    "statement_descriptor",
    "statement_descriptor_suffix",
)
_CONFIRM = {
    "payment_method": text,
    "payment_method_types": choices(*TYPES),
    "capture_method": choice("automatic", "automatic_async", "manual"),
    "error_on_requires_action": boolean,
    "off_session": _off_session,
    "receipt_email": text,
    "return_url": text,
    "setup_future_usage": choice("off_session", "on_session"),
    "expand": texts,
}
CREATE_PARAMS = Params(
    {
        **_CONFIRM,
        "amount": integer(1),
        "currency": currency,
        "customer": text,
        "confirm": boolean,
        "confirmation_method": choice("automatic", "manual"),
        "automatic_payment_methods": nested(
            enabled=boolean, allow_redirects=choice("always", "never")
        ),
        "description": text,
        "metadata": metadata,
        "statement_descriptor": text,
        "statement_descriptor_suffix": text,
    },
    required=("amount", "currency"),
)
_CAPTURE = Params({"amount_to_capture": integer(1), "expand": texts})
_CANCEL = Params({"cancellation_reason": choice(*_REASONS), "expand": texts})

ACTIONS = {"payment_intent.expire": expire}

ROUTES = (
    Route("POST", "/v1/payment_intents", CREATE_PARAMS, create, KIND.name),
    Route("POST", "/v1/payment_intents/*/confirm", Params(_CONFIRM), _confirm, KIND.name),
    Route("POST", "/v1/payment_intents/*/capture", _CAPTURE, _capture, KIND.name),
    Route("POST", "/v1/payment_intents/*/cancel", _CANCEL, _cancel, KIND.name),
    Route("GET", "/v1/payment_intents/*", Params({"expand": texts}), _retrieve, KIND.name),
    Route("GET", "/v1/payment_intents", list_params(customer=text), _list, KIND.name, lists=True),
)
