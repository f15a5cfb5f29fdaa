"""Refunds: money back, never more than was captured."""

from typing import Any

from billing.sandbox.call import Call, Kind
from billing.sandbox.errors import ApiError, Body, Reply, refused
from billing.sandbox.ids import new_id
from billing.sandbox.listing import list_page, list_params
from billing.sandbox.params import Params, choice, integer, metadata, text, texts
from billing.sandbox.resources import charges
from billing.sandbox.resources.balance_transactions import book
from billing.sandbox.resources.events import record_event
from billing.sandbox.routing import Route
from billing.sandbox.store import Record


def render(_call: Call, record: Record) -> Body:
    """Return the refund as Stripe shows it."""
    return {
        "id": record["id"],
        "object": "refund",
        "amount": record["amount"],
        "balance_transaction": record["balance_transaction"],
        "charge": record["charge"],
        "created": record["created"],
        "currency": record["currency"],
        "destination_details": {
            "type": "card",
            "card": {
                "reference_status": "pending",
                "reference_type": "acquirer_reference_number",
                "type": "refund",
            },
        },
        "metadata": record["metadata"],
        "payment_intent": record["payment_intent"],
        "reason": record["reason"],
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }


def _create(call: Call) -> Reply:
    charge = _charge_to_refund(call)
    amount = _amount(charge, call.params.get("amount"))
    record: Record = {
        "id": new_id("re"),
        "created": call.now,
        "amount": amount,
        "currency": charge["currency"],
        "charge": charge["id"],
        "payment_intent": charge["payment_intent"],
        "reason": call.params.get("reason"),
        "metadata": call.params.get("metadata", {}),
        "description": "REFUND FOR CHARGE",
    }
    record["balance_transaction"] = book(call, "refund", record, -amount)
    call.store.insert("refund", record, parent=charge["payment_intent"])
    charge["refunded"] += amount
    call.store.update(charge)
    record_event(call, "charge.refunded", charges.KIND, charge)
    return Reply(200, render(call, record))


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


def _retrieve(call: Call) -> Reply:
    return Reply(200, render(call, call.named_in_path("refund")))


def _list(call: Call) -> Reply:
    columns = {"payment_intent": "parent = ?", "charge": "json_extract(body, '$.charge') = ?"}
    conditions: list[tuple[str, Any]] = [
        (condition, call.params[name]) for name, condition in columns.items() if name in call.params
    ]
    return list_page(call, KIND, "/v1/refunds", conditions)


KIND = Kind(
    "refund",
    render,
    {
        "balance_transaction": ("balance_transaction",),
        "charge": ("charge",),
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

ROUTES = (
    Route("POST", "/v1/refunds", _CREATE, _create, KIND.name),
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
