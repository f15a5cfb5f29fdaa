"""Payment methods: test cards, attached to customers. No real card number gets in."""

import hashlib
import time
from collections.abc import Mapping
from typing import Any

from billing.sandbox.behaviours import behaviour_of
from billing.sandbox.call import Call, ObjectKind
from billing.sandbox.declines import decline_error
from billing.sandbox.errors import ApiError, Body, Reply, missing_object, refused
from billing.sandbox.ids import new_id
from billing.sandbox.listing import list_page, list_params
from billing.sandbox.params import (
    Params,
    choice,
    clearable_text,
    integer,
    merged_metadata,
    metadata,
    nested,
    text,
    texts,
)
from billing.sandbox.resources.events import record_event
from billing.sandbox.resources.mandates import new_mandate
from billing.sandbox.routing import Route
from billing.sandbox.store import Record
from billing.sandbox.wallets import CARD, PAYPAL, TYPES, new_payer, type_of

_ADDRESS = ("city", "country", "line1", "line2", "postal_code", "state")
_CARD_YEARS = 4


def new_record(call: Call, token: str, customer: str | None) -> Record | None:
    """Store a fresh payment method made from a test token; None for an unknown token."""
    behaviour = behaviour_of(token)
    if behaviour is None:
        return None
    record: Record = {
        "id": new_id("pm"),
        "created": call.now,
        "customer": customer,
        "token": token,
        "type": behaviour.type,
        "used": 0,
        "metadata": {},
    }
    if behaviour.type == PAYPAL:
        record["payer"] = new_payer(record["id"])
        new_mandate(call, record)
    else:
        record.update(
            brand=behaviour.brand,
            last4=behaviour.last4,
            funding=behaviour.funding,
            exp_year=time.gmtime(call.now).tm_year + _CARD_YEARS,
        )
    call.store.insert("payment_method", record)
    return record


def card_details(record: Record) -> Body:
    """Return what payment methods and charges both show of the card."""
    return {
        "brand": record["brand"],
        "country": "US",
        "exp_month": record.get("exp_month", 12),
        "exp_year": record["exp_year"],
        "fingerprint": _fingerprint(record["token"]),
        "funding": record["funding"],
        "last4": record["last4"],
        "regulated_status": "unregulated",
        "wallet": None,
    }


def _fingerprint(token: str) -> str:
    return hashlib.blake2b(token.encode(), digest_size=8).hexdigest()


def render(_call: Call, record: Record) -> Body:
    """Return the payment method as Stripe shows it."""
    given = record.get("billing_details", {})
    address = given.get("address", {})
    kind = type_of(record)
    return {
        "id": record["id"],
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": {
            "address": {part: address.get(part) for part in _ADDRESS},
            "email": given.get("email"),
            "name": given.get("name"),
            "phone": given.get("phone"),
            "tax_id": None,
        },
        "created": record["created"],
        "customer": record["customer"],
        "customer_account": None,
        "livemode": False,
        "metadata": record["metadata"],
        "type": kind,
        kind: record["payer"] if kind == PAYPAL else _card(record),
    }


def _card(record: Record) -> Body:
    checks = {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"}
    return {
        **card_details(record),
        "checks": checks,
        "display_brand": record["brand"],
        "generated_from": None,
        "networks": {"available": [record["brand"]], "preferred": None},
        "three_d_secure_usage": {"supported": True},
    }


def attach(call: Call, method_id: str, customer: str, param: str) -> Record:
    """Attach a payment method or a test token, which becomes a new payment method.

    Raises: ApiError, 402 for a card that declines on attaching.
    """
    record = call.store.find("payment_method", method_id) or _from_token(call, method_id, param)
    behaviour = behaviour_of(record["token"])
    assert behaviour is not None, "stored payment methods come from known tokens"
    if not behaviour.attachable:
        raise ApiError.carrying(402, decline_error(behaviour.outcome(0)))
    if record.get("detached"):
        raise refused(
            "This PaymentMethod was previously used without being attached to a Customer or was"
            " detached from a Customer, and may not be used again.",
            param=param,
        )
    if record["customer"] not in (None, customer):
        raise refused("The payment method you provided has already been attached to a customer.")
    record["customer"] = customer
    call.store.hand_over(record)
    record_event(call, "payment_method.attached", KIND, record)
    return record


def _from_token(call: Call, token: str, param: str) -> Record:
    record = new_record(call, token, None)
    if record is None:
        raise missing_object("payment_method", token, param=param, in_path=param == "id")
    return record


def _create(call: Call) -> Reply:
    card = call.params.get("card", {})
    if "number" in card:
        raise refused(
            "Sending credit card numbers directly is unsafe and refused here: use card[token].",
            param="card[number]",
        )
    token = card.get("token", "").replace("tok_sbx_", "pm_sbx_").replace("tok_", "pm_card_")
    record = new_record(call, token, None)
    if record is None:
        raise refused(
            "No such token; test tokens begin with tok_.",
            code="resource_missing",
            param="card[token]",
        )
    record["billing_details"] = call.params.get("billing_details", {})
    record["metadata"] = call.params.get("metadata", {})
    call.store.update(record)
    return Reply(200, render(call, record))


def _attach(call: Call) -> Reply:
    customer = call.named_by("customer", call.params["customer"], "customer")
    return Reply(200, render(call, attach(call, call.path[0], customer["id"], "id")))


def _detach(call: Call) -> Reply:
    record = call.named_in_path("payment_method")
    if record["customer"] is None:
        raise refused("The payment method you provided is not attached to a customer.")
    record.update(customer=None, detached=True)
    call.store.hand_over(record)
    record_event(call, "payment_method.detached", KIND, record)
    return Reply(200, render(call, record))


def _update(call: Call) -> Reply:
    record = call.named_in_path("payment_method")
    if record["customer"] is None:
        raise refused("You must save this PaymentMethod to a customer before you can update it.")
    _check_card(call, record)
    record.update(call.params.get("card", {}))
    if "billing_details" in call.params:
        record["billing_details"] = {
            **record.get("billing_details", {}),
            **call.params["billing_details"],
        }
    record["metadata"] = merged_metadata(record["metadata"], call.params.get("metadata", {}))
    call.store.update(record)
    record_event(call, "payment_method.updated", KIND, record)
    return Reply(200, render(call, record))


def _check_card(call: Call, record: Record) -> None:
    if "card" in call.params and type_of(record) != CARD:
        raise refused("You cannot update the card of a PaymentMethod that is none.", param="card")


def update_by_network(call: Call, record: Record, changes: Mapping[str, Any]) -> None:
    """Change a card as its network does when the bank sends its holder a new one."""
    if type_of(record) != CARD:
        raise refused(f"{record['id']} is no card.")
    record.update(changes)
    if "token" in changes:
        behaviour = behaviour_of(changes["token"])
        if behaviour is None:
            raise refused(f"No such token: {changes['token']}", param="token")
        record.update(
            brand=behaviour.brand, last4=behaviour.last4, funding=behaviour.funding, used=0
        )
    call.store.update(record)
    record_event(call, "payment_method.automatically_updated", KIND, record)


def _retrieve(call: Call) -> Reply:
    return Reply(200, render(call, call.named_in_path("payment_method")))


def _retrieve_of_customer(call: Call) -> Reply:
    customer, method_id = call.path
    record = call.store.find("payment_method", method_id)
    if record is None or record["customer"] != customer:
        raise missing_object("payment_method", method_id, param="payment_method", in_path=True)
    return Reply(200, render(call, record))


def _list(call: Call) -> Reply:
    customer = call.params.get("customer")
    if customer is None:
        conditions = [("owner IS NOT NULL", ()), *_of_type(call)]
        return list_page(call, KIND, "/v1/payment_methods", conditions)
    call.named_by("customer", customer, "customer")
    return list_page(call, KIND, "/v1/payment_methods", [("owner = ?", customer), *_of_type(call)])


def _of_type(call: Call) -> list[tuple[str, Any]]:
    if "type" not in call.params:
        return []
    return [("coalesce(json_extract(body, '$.type'), 'card') = ?", call.params["type"])]


def _list_of_customer(call: Call) -> Reply:
    customer = call.named_in_path("customer", "customer")["id"]
    url = f"/v1/customers/{customer}/payment_methods"
    return list_page(call, KIND, url, [("owner = ?", customer), *_of_type(call)])


KIND = ObjectKind("payment_method", render, {"customer": ("customer",)})

_ONLY_EXPAND = Params({"expand": texts})
_BILLING_DETAILS = nested(
    address=nested(**dict.fromkeys(_ADDRESS, clearable_text)),
    email=clearable_text,
    name=clearable_text,
    phone=clearable_text,
)
_CREATE = Params(
    {
        "type": choice("card"),
        "card": nested(token=text, number=text, exp_month=text, exp_year=text, cvc=text),
        "billing_details": _BILLING_DETAILS,
        "metadata": metadata,
        "expand": texts,
    },
    required=("type", "card"),
)
_UPDATE = Params(
    {
        "card": nested(exp_month=integer(1, 12), exp_year=integer(2000, 2100)),
        "billing_details": _BILLING_DETAILS,
        "metadata": metadata,
        "expand": texts,
    }
)
_TYPE = choice(*TYPES)

ROUTES = (
    Route("POST", "/v1/payment_methods", _CREATE, _create, KIND.name),
    Route("GET", "/v1/payment_methods/*", _ONLY_EXPAND, _retrieve, KIND.name),
    Route("POST", "/v1/payment_methods/*", _UPDATE, _update, KIND.name),
    Route(
        "POST",
        "/v1/payment_methods/*/attach",
        Params({"customer": text, "expand": texts}, required=("customer",)),
        _attach,
        KIND.name,
    ),
    Route("POST", "/v1/payment_methods/*/detach", _ONLY_EXPAND, _detach, KIND.name),
    Route(
        "GET",
        "/v1/payment_methods",
        list_params(customer=text, type=_TYPE),
        _list,
        KIND.name,
        lists=True,
    ),
    Route(
        "GET",
        "/v1/customers/*/payment_methods",
        list_params(type=_TYPE),
        _list_of_customer,
        KIND.name,
        lists=True,
    ),
    Route(
        "GET",
        "/v1/customers/*/payment_methods/*",
        _ONLY_EXPAND,
        _retrieve_of_customer,
        KIND.name,
    ),
)
