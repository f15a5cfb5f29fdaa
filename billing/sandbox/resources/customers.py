"""Customers."""

from typing import Any

from billing.sandbox.call import Call, ObjectKind
from billing.sandbox.errors import Body, Reply, refused
from billing.sandbox.ids import new_id
from billing.sandbox.listing import list_page, list_params
from billing.sandbox.params import (
    Params,
    choice,
    clearable_text,
    merged_metadata,
    metadata,
    nested,
    text,
    texts,
)
from billing.sandbox.resources import payment_methods
from billing.sandbox.resources.events import record_event
from billing.sandbox.routing import Route
from billing.sandbox.store import Record

_TEXTS = ("name", "email", "description", "phone")
_ADDRESS = ("city", "country", "line1", "line2", "postal_code", "state")

_FIELDS = {
    **dict.fromkeys(_TEXTS, clearable_text),
    "address": nested(**dict.fromkeys(_ADDRESS, clearable_text)),
    "tax_exempt": choice("none", "exempt", "reverse"),
    "invoice_settings": nested(default_payment_method=clearable_text),
    "metadata": metadata,
    "expand": texts,
}


def render(_call: Call, record: Record) -> Body:
    """Return the customer as Stripe shows it."""
    address = record.get("address")
    return {
        "id": record["id"],
        "object": "customer",
        "address": address and {part: address.get(part) for part in _ADDRESS},
        "balance": 0,
        "created": record["created"],
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": record.get("description"),
        "discount": None,
        "email": record.get("email"),
        "invoice_prefix": record["id"][-8:].upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": record.get("default_payment_method"),
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": record["metadata"],
        "name": record.get("name"),
        "next_invoice_sequence": 1,
        "phone": record.get("phone"),
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": record.get("tax_exempt", "none"),
        "test_clock": None,
    }


def _create(call: Call) -> Reply:
    record: Record = {"id": new_id("cus"), "created": call.now, "metadata": {}}
    call.store.insert("customer", record)
    _apply(call, record, call.params)
    if "payment_method" in call.params:
        payment_methods.attach(call, call.params["payment_method"], record["id"], "payment_method")
    call.store.update(record)
    record_event(call, "customer.created", KIND, record)
    return Reply(200, render(call, record))


def _apply(call: Call, record: Record, params: Any) -> None:
    for name in (*_TEXTS, "address", "tax_exempt"):
        if name in params:
            record[name] = params[name]
    if "metadata" in params:
        record["metadata"] = merged_metadata(record["metadata"], params["metadata"])
    chosen = params.get("invoice_settings", {}).get("default_payment_method")
    if chosen is not None:
        method = call.named_by("payment_method", chosen, "invoice_settings[default_payment_method]")
        if method["customer"] != record["id"]:
            raise refused(
                f"The customer does not have a payment method with the ID {chosen}.",
                code="resource_missing",
                param="invoice_settings[default_payment_method]",
            )
        record["default_payment_method"] = chosen


def _update(call: Call) -> Reply:
    record = call.named_in_path("customer")
    _apply(call, record, call.params)
    call.store.update(record)
    record_event(call, "customer.updated", KIND, record)
    return Reply(200, render(call, record))


def _retrieve(call: Call) -> Reply:
    return Reply(200, render(call, call.named_in_path("customer")))


def _list(call: Call) -> Reply:
    email = call.params.get("email")
    conditions = [] if email is None else [("json_extract(body, '$.email') = ?", email)]
    return list_page(call, KIND, "/v1/customers", conditions)


KIND = ObjectKind("customer", render)

ROUTES = (
    Route("POST", "/v1/customers", Params({**_FIELDS, "payment_method": text}), _create, KIND.name),
    Route("POST", "/v1/customers/*", Params(_FIELDS), _update, KIND.name),
    Route("GET", "/v1/customers/*", Params({"expand": texts}), _retrieve, KIND.name),
    Route("GET", "/v1/customers", list_params(email=text), _list, KIND.name, lists=True),
)
