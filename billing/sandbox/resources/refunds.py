"""Refunds: money back, never more than was captured.

A refund succeeds at once unless the card or the settings say otherwise: it can stay pending for
a while, and it can fail later, whereupon the money is booked back.
"""

from typing import Any

from billing.sandbox.behaviours import behaviour_of
from billing.sandbox.call import Call, ObjectKind
from billing.sandbox.errors import ApiError, Body, Reply, refused
from billing.sandbox.ids import new_id
from billing.sandbox.listing import list_page, list_params
from billing.sandbox.params import (
    Params,
    choice,
    integer,
    merged_metadata,
    metadata,
    text,
    texts,
)
from billing.sandbox.resources import charges
from billing.sandbox.resources.balance_transactions import book, give_back
from billing.sandbox.resources.events import record_event
from billing.sandbox.routing import Route
from billing.sandbox.store import Record
from billing.sandbox.wallets import CARD, PAYPAL, type_of

FAILURES = (
    "lost_or_stolen_card",
    "expired_or_canceled_card",
    "charge_for_pending_refund_disputed",
    "insufficient_funds",
    "declined",
    "merchant_request",
    "unknown",
)


def render(_call: Call, record: Record) -> Body:
    """Return the refund as Stripe shows it."""
    body: Body = {
        "id": record["id"],
        "object": "refund",
        "amount": record["amount"],
        "balance_transaction": record["balance_transaction"],
        "charge": record["charge"],
        "created": record["created"],
        "currency": record["currency"],
        "destination_details": _destination(record),
        "metadata": record["metadata"],
        "payment_intent": record["payment_intent"],
        "reason": record["reason"],
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": _status(record),
        "transfer_reversal": None,
    }
    if _status(record) == "pending":
        body["pending_reason"] = "processing"
    for name in ("failure_reason", "failure_balance_transaction"):
        if name in record:
            body[name] = record[name]
    return body


def _destination(record: Record) -> Body:
    if type_of(record) == PAYPAL:
        return {"type": PAYPAL, PAYPAL: {"network_decline_code": None}}
    reference = {"reference_status": "pending", "reference_type": "acquirer_reference_number"}
    return {"type": CARD, CARD: {**reference, "type": "refund"}}


def _status(record: Record) -> str:
    return str(record.get("status", "succeeded"))  # the first refunds had no other


def _create(call: Call) -> Reply:
    charge = _charge_to_refund(call)
    amount = _amount(charge, call.params.get("amount"))
    manner = behaviour_of(charge.get("token", "pm_card_visa"))
    outcome = (manner and manner.refund) or call.settings.refunds
    kind = type_of(charge)
    record: Record = {
        "id": new_id("re" if kind == CARD else "pyr"),
        "created": call.now,
        "type": kind,
        "amount": amount,
        "currency": charge["currency"],
        "charge": charge["id"],
        "payment_intent": charge["payment_intent"],
        "reason": call.params.get("reason"),
        "metadata": call.params.get("metadata", {}),
        "description": "REFUND FOR CHARGE",
        "status": "pending" if outcome.startswith("pending") else "succeeded",
    }
    record["balance_transaction"] = _book(call, charge, record)["id"]
    call.store.insert("refund", record, parent=charge["payment_intent"])
    _plan(call, record, outcome)
    charge["refunded"] += amount
    call.store.update(charge)
    record_event(call, "refund.created", KIND, record)
    record_event(call, "charge.refunded", charges.KIND, charge)
    return Reply(200, render(call, record))


def _book(call: Call, charge: Record, record: Record) -> Record:
    """Take the money from the balance: from the charge's own while that is still pending."""
    taken = call.stored("balance_transaction", charge["balance_transaction"])
    at = max(call.now, taken["available_on"])
    kind = "refund" if type_of(record) == CARD else "payment_refund"
    return book(call, kind, record, -record["amount"], available_on=at, category="refund")


def _plan(call: Call, record: Record, outcome: str) -> None:
    wait = call.settings.refund_delay_seconds
    if outcome.startswith("pending"):
        call.store.remind(call.now + wait, "refund.succeed", record["id"])
    if outcome.endswith("fail"):
        rounds = 2 if outcome.startswith("pending") else 1
        call.store.remind(call.now + rounds * wait, "refund.fail", record["id"])


def succeed(call: Call, refund_id: str) -> None:
    """Let a pending refund succeed; any other stays as it is."""
    record = call.stored("refund", refund_id)
    if _status(record) != "pending":
        return
    record["status"] = "succeeded"
    call.store.update(record)
    for event in ("refund.updated", "charge.refund.updated"):
        record_event(call, event, KIND, record)


def fail(call: Call, refund_id: str, reason: str = "unknown") -> None:
    """Let a refund fail, whether it was pending or had succeeded, and book the money back."""
    record = call.stored("refund", refund_id)
    if _status(record) not in ("pending", "succeeded"):
        return
    booked = call.stored("balance_transaction", record["balance_transaction"])
    back = give_back(call, booked, "refund_failure", record, description="REFUND FAILURE")
    record.update(status="failed", failure_reason=reason, failure_balance_transaction=back["id"])
    call.store.update(record)
    charge = call.stored("charge", record["charge"])
    charge["refunded"] -= record["amount"]
    call.store.update(charge)
    for event in ("refund.updated", "charge.refund.updated", "refund.failed"):
        record_event(call, event, KIND, record)


def _charge_to_refund(call: Call) -> Record:
    if "charge" in call.params:
        charge = call.named_by("charge", call.params["charge"], "charge")
        if call.params.get("payment_intent", charge["payment_intent"]) != charge["payment_intent"]:
            raise refused("The charge does not belong to the PaymentIntent.", param="charge")
    elif "payment_intent" in call.params:
        name = call.params["payment_intent"]
        intent = call.named_by("payment_intent", name, "payment_intent")
        if intent["latest_charge"] is None:
            raise _nothing_to_refund(f"PaymentIntent ({name})")
        charge = call.stored("charge", intent["latest_charge"])
    else:
        raise refused(
            "One of the following params should be provided for this request:"
            " payment_intent or charge.",
            code="parameter_missing",
        )
    if not charge["captured"]:
        raise _nothing_to_refund(f"charge ({charge['id']})")
    if charge.get("charged_back"):
        raise refused(
            f"The charge, {charge['id']}, has been charged back; cannot issue a refund.",
            code="charge_disputed",
        )
    return charge


def _nothing_to_refund(what: str) -> ApiError:
    return refused(f"This {what} does not have a successful charge to refund.")


def _amount(charge: Record, asked: int | None) -> int:
    left = charge["captured"] - charge["refunded"]
    if left == 0:
        raise refused(
            f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded"
        )
    if asked is not None and asked > left:
        raise refused(
            f"Refund amount ({asked}) is greater than unrefunded amount on charge ({left}).",
            param="amount",
        )
    return int(left if asked is None else asked)


def _update(call: Call) -> Reply:
    record = call.named_in_path("refund")
    record["metadata"] = merged_metadata(record["metadata"], call.params.get("metadata", {}))
    call.store.update(record)
    for event in ("refund.updated", "charge.refund.updated"):
        record_event(call, event, KIND, record)
    return Reply(200, render(call, record))


def _retrieve(call: Call) -> Reply:
    return Reply(200, render(call, call.named_in_path("refund")))


def _list(call: Call) -> Reply:
    columns = {"payment_intent": "parent = ?", "charge": "json_extract(body, '$.charge') = ?"}
    conditions: list[tuple[str, Any]] = [
        (condition, call.params[name]) for name, condition in columns.items() if name in call.params
    ]
    return list_page(call, KIND, "/v1/refunds", conditions)


KIND = ObjectKind(
    "refund",
    render,
    {
        "balance_transaction": ("balance_transaction",),
        "charge": ("charge",),
        "failure_balance_transaction": ("balance_transaction",),
        "payment_intent": ("payment_intent",),
    },
)

_CREATE = Params(
    {
        "charge": text,
        "payment_intent": text,
        "amount": integer(1),
        "reason": choice("duplicate", "fraudulent", "requested_by_customer"),
        "metadata": metadata,
        "expand": texts,
    }
)
_UPDATE = Params({"metadata": metadata, "expand": texts})

ACTIONS = {"refund.succeed": succeed, "refund.fail": fail}

ROUTES = (
    Route("POST", "/v1/refunds", _CREATE, _create, KIND.name),
    Route("POST", "/v1/refunds/*", _UPDATE, _update, KIND.name),
    Route("GET", "/v1/refunds/*", Params({"expand": texts}), _retrieve, KIND.name),
    Route(
        "GET",
        "/v1/refunds",
        list_params(charge=text, payment_intent=text),
        _list,
        KIND.name,
        lists=True,
    ),
)
