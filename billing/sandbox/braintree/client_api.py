"""The browser's side: a client token, and nonces for what a customer types in.

A page of a shop does this with Braintree's script, which isn't served here; programs can do it with
the token's fingerprint. A customer's card or account goes into the nonce, never to the shop.
"""

import base64
import json
import re
from typing import Any

from billing.sandbox.braintree.call import CUSTOMER, NONCE, MerchantCall, new_ref
from billing.sandbox.braintree.cards import card_of
from billing.sandbox.braintree.replies import RefusedRequest, XmlReply, failure
from billing.sandbox.braintree.routing import XmlRoute
from billing.sandbox.store import Record

_ACCEPTED = 202


def _client_token(call: MerchantCall) -> XmlReply:
    given = call.params.get("client_token") or {}
    wanted = given.get("customer_id")
    if wanted and call.find(CUSTOMER, str(wanted)) is None:
        return failure(dict(call.params), "Customer specified by customer_id does not exist")
    path = f"{call.base_url}/merchants/{call.merchant}"
    token = {
        "version": int(given.get("version") or 2),
        "authorizationFingerprint": f"{new_ref(32)}|merchant_id={call.merchant}",
        "configUrl": f"{path}/client_api/v1/configuration",
        "clientApiUrl": f"{path}/client_api",
        "merchantId": call.merchant,
        "environment": "development",
        "challenges": [],
        "paypalEnabled": True,
    }
    value = base64.b64encode(json.dumps(token).encode()).decode()
    return XmlReply(201, "client_token", {"value": value})


def _card_nonce(call: MerchantCall) -> XmlReply:
    named = _underscored(call.params.get("credit_card") or {})
    try:
        instrument = card_of(named, "credit_card", call.now)
    except RefusedRequest as refused:
        return XmlReply(422, value={"error": {"message": str(refused)}})
    nonce = _kept(call, instrument, named)
    return XmlReply(_ACCEPTED, value={"creditCards": [{"nonce": nonce, "type": "CreditCard"}]})


def _paypal_nonce(call: MerchantCall) -> XmlReply:
    given = _underscored(call.params.get("paypal_account") or {})
    vaultable = "consent_code" in given or "billing_agreement_token" in given or "intent" in given
    instrument: Record = {
        "kind": "paypal_account",
        "email": "bt_buyer_us@paypal.com" if "intent" in given else "jane.doe@example.com",
        "vaultable": vaultable,
    }
    nonce = _kept(call, instrument, given)
    return XmlReply(
        _ACCEPTED, value={"paypalAccounts": [{"nonce": nonce, "type": "PayPalAccount"}]}
    )


def _underscored(value: Any) -> Any:
    """Return what a browser sent with names as the rest of the API has them."""
    if not isinstance(value, dict):
        return value
    return {
        re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).replace("-", "_").lower(): _underscored(each)
        for name, each in value.items()
    }


def _kept(call: MerchantCall, instrument: Record, given: Record) -> str:
    """Keep a nonce with what it stands for, and with what is asked for when it is vaulted."""
    nonce = f"tokencc_{new_ref(20)}"
    wanted = ("token", "options", "billing_address", "cardholder_name")
    instrument["sent"] = {name: given[name] for name in wanted if name in given}
    record = {"token": None, "instrument": instrument, "consumed": False}
    call.insert(NONCE, record, ref=nonce)
    return nonce


ROUTES = (
    XmlRoute("POST", "client_token", _client_token),
    XmlRoute("POST", "client_api/v1/payment_methods/credit_cards", _card_nonce),
    XmlRoute("POST", "client_api/v1/payment_methods/credit_cards.json", _card_nonce),
    XmlRoute("POST", "client_api/v1/payment_methods/paypal_accounts", _paypal_nonce),
)
