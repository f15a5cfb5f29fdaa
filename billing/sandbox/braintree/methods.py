"""Vaulted payment methods: cards and PayPal accounts of customers."""

import re
from collections.abc import Mapping
from typing import Any

from billing.sandbox.braintree import method_view
from billing.sandbox.braintree.call import CUSTOMER, METHOD, MerchantCall, new_ref
from billing.sandbox.braintree.cards import read_expiry
from billing.sandbox.braintree.instruments import (
    OF_METHOD,
    behaviour_of_instrument,
    by_nonce,
    by_number,
    vaultable,
)
from billing.sandbox.braintree.people import address
from billing.sandbox.braintree.replies import NoSuchObject, XmlReply, failure, refuse
from billing.sandbox.braintree.routing import XmlRoute
from billing.sandbox.steps import outcome_after
from billing.sandbox.store import Record

_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,36}")
_RESERVED = frozenset(("all", "new"))


def vault(
    call: MerchantCall,
    customer: Record,
    instrument: Record,
    given: Mapping[str, Any],
    where: str,
) -> Record:
    """Keep an instrument as a payment method of a customer. Raises: RefusedRequest."""
    if not vaultable(instrument):
        raise refuse(where.replace("credit_card", "paypal_account"), "base", "82902")
    given = {**(instrument.get("sent") or {}), **given}
    token = _token(call, given.get("token"), where)
    options = given.get("options") or {}
    _check_duplicates(call, customer, instrument, options, where)
    others = of_customer(call, customer)
    record = {
        "instrument": _kept(instrument, given),
        "customer": customer["id"],
        "customer_ref": customer["ref"],
        "default": not others,
        "uses": 0,
        "revoked_at": None,
        "verified_at": call.now if _verifies(options) else None,
        "billing": _billing(customer, given),
        "payer_id": f"PAYER{new_ref(8).upper()}",
        "billing_agreement_id": f"B-{new_ref(17).upper()}",
    }
    call.insert(METHOD, record, ref=token, parent=customer["id"])
    if options.get("make_default"):
        make_default(call, customer, record)
    return record


def _kept(instrument: Record, given: Mapping[str, Any]) -> Record:
    """Return the instrument as it is kept, with what the request says of it."""
    kept = {name: value for name, value in instrument.items() if name not in ("token", "sent")}
    if given.get("cardholder_name"):
        kept["cardholder_name"] = given["cardholder_name"]
    expiry = read_expiry(dict(given))
    if expiry is not None and kept["kind"] == "credit_card":
        kept["exp_month"], kept["exp_year"] = expiry
    return kept


def _billing(customer: Record, given: Mapping[str, Any]) -> Record | None:
    chosen = given.get("billing_address_id")
    if chosen:
        return next((each for each in customer["addresses"] if each["id"] == chosen), None)
    sent = given.get("billing_address")
    return address(sent) | {"id": new_ref(2)} if isinstance(sent, dict) else None


def _token(call: MerchantCall, wanted: Any, where: str) -> str:
    if not wanted:
        return new_ref(8)
    token = str(wanted)
    if len(token) > 36:
        raise refuse(where, "token", "91720")
    if not _TOKEN.fullmatch(token):
        raise refuse(where, "token", "91718")
    if token in _RESERVED:
        raise refuse(where, "token", "91721")
    if call.find(METHOD, token) is not None:
        raise refuse(where, "token", "91719")
    return token


def _check_duplicates(
    call: MerchantCall, customer: Record, instrument: Record, options: Mapping[str, Any], where: str
) -> None:
    unique = instrument.get("unique")
    if unique is None:
        return
    if options.get("fail_on_duplicate_payment_method_for_customer"):
        mine = of_customer(call, customer)
        if any(each["instrument"].get("unique") == unique for each in mine):
            raise refuse(where, "number", "81763")
    if options.get("fail_on_duplicate_payment_method"):
        condition = ("json_extract(body, '$.instrument.unique') = ?", unique)
        if call.select(METHOD, [condition]):
            raise refuse(where, "number", "81724")


def of_customer(call: MerchantCall, customer: Record) -> list[Record]:
    """Return a customer's payment methods, the oldest first."""
    return call.select(METHOD, [("owner = ?", customer["id"])], oldest_first=True)


def make_default(call: MerchantCall, customer: Record, method: Record) -> None:
    """Make a payment method its customer's default."""
    for each in of_customer(call, customer):
        if each["default"] and each["id"] != method["id"]:
            each["default"] = False
            call.update(each)
    method["default"] = True
    call.update(method)


def verification(call: MerchantCall, instrument: Record) -> Record | None:
    """Return why a card doesn't pass its verification; None when it does."""
    behaviour = behaviour_of_instrument(instrument)
    outcome = instrument.get("fails") or (
        "ok" if behaviour is None else outcome_after(behaviour.steps, 0)
    )
    if instrument["kind"] != "credit_card" or outcome in ("ok", "3000"):
        return None if outcome != "3000" else {"status": "failed", "code": "3000", "reason": None}
    if outcome.startswith("settle:"):
        return None
    status, code, reason = "processor_declined", outcome, None
    if outcome.startswith("gateway:"):
        status, code, reason = "gateway_rejected", "1000", outcome.partition(":")[2]
    return {"status": status, "code": code, "reason": reason}


def _create(call: MerchantCall) -> XmlReply:
    if "credit_card" in call.params:  # the SDK's CreditCard.create comes here, too
        return _create_card(call)
    given = call.params.get("payment_method") or {}
    customer = _customer_named(call, given)
    nonce = given.get("payment_method_nonce")
    if nonce:
        instrument = by_nonce(call, str(nonce), "payment_method", OF_METHOD)
    elif isinstance(given.get("credit_card"), dict):
        instrument = by_number(call, given["credit_card"], "payment_method.credit_card")
    else:
        raise refuse("payment_method", "payment_method_nonce", "93103")
    where = "credit_card" if instrument["kind"] == "credit_card" else "paypal_account"
    return _vault_verified(call, customer, instrument, given, where)


def _vault_verified(
    call: MerchantCall, customer: Record, instrument: Record, given: Mapping[str, Any], where: str
) -> XmlReply:
    failed = None
    options = {
        **((instrument.get("sent") or {}).get("options") or {}),
        **(given.get("options") or {}),
    }
    if _verifies(options):
        failed = verification(call, instrument)
    if failed is not None:
        shown = method_view.verification(call, instrument, failed)
        text = str(shown["processor_response_text"])
        return failure(dict(call.params), text, verification=shown)
    record = vault(call, customer, instrument, given, where)
    return XmlReply(201, record["instrument"]["kind"], method_view.shown(call, record))


def _verifies(options: Mapping[str, Any]) -> bool:
    return str(options.get("verify_card", "")).lower() == "true"


def _customer_named(call: MerchantCall, given: Mapping[str, Any]) -> Record:
    if not given.get("customer_id"):
        raise refuse("payment_method", "customer_id", "93104")
    customer = call.find(CUSTOMER, str(given["customer_id"]))
    if customer is None:
        raise refuse("payment_method", "customer_id", "93105")
    return customer


def _create_card(call: MerchantCall) -> XmlReply:
    given = call.params.get("credit_card") or {}
    if not given.get("customer_id"):
        raise refuse("credit_card", "customer_id", "91704")
    customer = call.find(CUSTOMER, str(given["customer_id"]))
    if customer is None:
        raise refuse("credit_card", "customer_id", "91705")
    instrument = by_number(call, given, "credit_card")
    return _vault_verified(call, customer, instrument, given, "credit_card")


def _of_kind(call: MerchantCall) -> Record:
    """Return the payment method of the path: of any kind, or of the kind that it names."""
    kind, token = call.path
    record = call.find(METHOD, token)
    if record is None or kind not in ("any", record["instrument"]["kind"]):
        raise NoSuchObject
    return record


def _find(call: MerchantCall) -> XmlReply:
    record = _of_kind(call)
    return XmlReply(200, record["instrument"]["kind"], method_view.shown(call, record))


def _update(call: MerchantCall) -> XmlReply:
    record = _of_kind(call)
    kind = record["instrument"]["kind"]
    given = next(iter(call.params.values()), None) or {}
    if given.get("number"):
        record["instrument"] = by_number(call, given, kind)
    record["instrument"] = _kept(record["instrument"], given)
    if isinstance(given.get("billing_address"), dict):
        fresh = address(given["billing_address"])
        record["billing"] = {**(record["billing"] or {"id": new_ref(2)}), **fresh}
    customer = call.stored(CUSTOMER, record["customer"])
    if given.get("token") and given["token"] != record["ref"]:
        record = _renamed(call, record, _token(call, given["token"], kind))
    call.update(record)
    if (given.get("options") or {}).get("make_default"):
        make_default(call, customer, record)
    return XmlReply(200, kind, method_view.shown(call, record))


def _renamed(call: MerchantCall, record: Record, token: str) -> Record:
    call.store.delete(record["id"])
    created = record["created"]
    call.insert(METHOD, record, ref=token, parent=record["customer"])
    record["created"] = created
    return record


def remove(call: MerchantCall, record: Record) -> None:
    """Take a payment method out of the vault; the next one becomes the default."""
    call.store.delete(record["id"])
    if record["default"]:
        others = of_customer(call, call.stored(CUSTOMER, record["customer"]))
        if others:
            others[0]["default"] = True
            call.update(others[0])


def _delete(call: MerchantCall) -> XmlReply:
    remove(call, _of_kind(call))
    return XmlReply(200)


ROUTES = (
    XmlRoute("POST", "payment_methods", _create),
    XmlRoute("GET", "payment_methods/*/*", _find),
    XmlRoute("PUT", "payment_methods/*/*", _update),
    XmlRoute("DELETE", "payment_methods/*/*", _delete),
)
