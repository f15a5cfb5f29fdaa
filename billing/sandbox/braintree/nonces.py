"""Nonces that are made of a vaulted payment method; each is good for once."""

from billing.sandbox.braintree import method_view
from billing.sandbox.braintree.behaviours import behaviour_of
from billing.sandbox.braintree.call import METHOD, NONCE, MerchantCall, new_ref
from billing.sandbox.braintree.replies import NoSuchObject, XmlReply
from billing.sandbox.braintree.routing import XmlRoute
from billing.sandbox.braintree.xml import Node
from billing.sandbox.store import Record

_TYPES = {"credit_card": "CreditCard", "paypal_account": "PayPalAccount"}


def _create(call: MerchantCall) -> XmlReply:
    method = call.named(METHOD)
    record = {"token": method["ref"], "instrument": None, "consumed": False}
    call.insert(NONCE, record, ref=f"tokencc_{new_ref(20)}", parent=method["id"])
    return XmlReply(201, "payment_method_nonce", _view(record["ref"], method["instrument"], record))


def _find(call: MerchantCall) -> XmlReply:
    nonce = call.path[0]
    record = call.find(NONCE, nonce)
    if record is not None:
        method = call.find(METHOD, record["token"])
        instrument = record["instrument"] if method is None else method["instrument"]
    else:
        behaviour = behaviour_of(nonce)
        instrument = None if behaviour is None else behaviour.instrument(nonce, call.now)
    if instrument is None:
        raise NoSuchObject
    return XmlReply(200, "payment_method_nonce", _view(nonce, instrument, record))


def _view(nonce: str | None, instrument: Record, record: Record | None) -> Node:
    return {
        "nonce": nonce,
        "type": _TYPES[instrument["kind"]],
        "default": False,
        "consumed": record is not None and record["consumed"],
        "details": _details(instrument),
        "three_d_secure_info": None,
        "bin_data": method_view.bin_data(instrument),
    }


def _details(instrument: Record) -> Node:
    if instrument["kind"] == "paypal_account":
        return {"payer_info": {"email": instrument["email"]}}
    card = method_view.card(instrument)
    return {"bin": card["bin"], "last_two": card["last_4"][2:], "card_type": card["card_type"]}


ROUTES = (
    XmlRoute("POST", "payment_methods/*/nonces", _create),
    XmlRoute("GET", "payment_method_nonces/*", _find),
)
