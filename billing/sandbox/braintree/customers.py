"""Customers: created with or without a payment method, found, changed, deleted, searched."""

import re
from collections.abc import Mapping
from typing import Any

from billing.sandbox.braintree import method_view
from billing.sandbox.braintree.call import CUSTOMER, METHOD, MerchantCall, new_ref
from billing.sandbox.braintree.instruments import OF_TRANSACTION, by_nonce, by_number
from billing.sandbox.braintree.methods import (
    make_default,
    of_customer,
    remove,
    vault,
    verification,
)
from billing.sandbox.braintree.people import (
    PERSON,
    address,
    address_view,
    check_email,
    custom_fields,
    person,
)
from billing.sandbox.braintree.replies import Failing, XmlReply, failure, refuse
from billing.sandbox.braintree.routing import XmlRoute
from billing.sandbox.braintree.searching import Field, matches, page, search_ids, text_of
from billing.sandbox.braintree.xml import Listed, Node, When
from billing.sandbox.store import Record

_ID = re.compile(r"[A-Za-z0-9_-]{1,36}")


def make_customer(call: MerchantCall, given: Mapping[str, Any], where: str = "customer") -> Record:
    """Keep a new customer. Raises: RefusedRequest."""
    check_email(given, where)
    ref = _ref(call, given.get("id"), where)
    fields = custom_fields(call, given.get("custom_fields"), where, "91602")
    record = {**person(given), "custom_fields": fields, "addresses": []}
    return call.insert(CUSTOMER, record, ref=ref)


def _ref(call: MerchantCall, wanted: Any, where: str) -> str:
    if not wanted:
        return str(int.from_bytes(new_ref(8).encode()) % 10**11).rjust(11, "1")
    ref = str(wanted)
    if len(ref) > 36:
        raise refuse(where, "id", "91612")
    if not _ID.fullmatch(ref):
        raise refuse(where, "id", "91610")
    if call.find(CUSTOMER, ref) is not None:
        raise refuse(where, "id", "91609")
    return ref


def shown(call: MerchantCall, record: Record) -> Node:
    """Return a customer with the payment methods."""
    methods = of_customer(call, record)
    by_kind = {
        kind: [method_view.shown(call, each) for each in methods if _kind(each) == kind]
        for kind in ("credit_card", "paypal_account")
    }
    return {
        "id": record["ref"],
        "merchant_id": record["merchant"],
        "global_id": record["id"],
        **{name: record[name] for name in PERSON},
        "international_phone": record.get("international_phone") or {},
        "created_at": When(record["created"]),
        "updated_at": When(record["updated"]),
        "custom_fields": record["custom_fields"] or "",
        "credit_cards": Listed("credit_card", by_kind["credit_card"]),
        "paypal_accounts": Listed("paypal_account", by_kind["paypal_account"]),
        "addresses": Listed(
            "address", [address_view(each) for each in _addresses(record, methods)]
        ),
        "tax_identifiers": Listed("tax_identifier", []),
    }


def _kind(method: Record) -> str:
    return str(method["instrument"]["kind"])


def _addresses(record: Record, methods: list[Record]) -> list[Record]:
    found = {each["id"]: each for each in record["addresses"]}
    for method in methods:
        if method["billing"] is not None:
            found.setdefault(method["billing"]["id"], method["billing"])
    return list(found.values())


def _create(call: MerchantCall) -> XmlReply:
    given = call.params.get("customer") or {}
    record = make_customer(call, given)
    _add_method(call, record, given)
    return XmlReply(201, "customer", shown(call, record))


def _add_method(call: MerchantCall, record: Record, given: Mapping[str, Any]) -> None:
    """Vault what the request brings with the customer. Raises: Failing, RefusedRequest."""
    sent = given.get("credit_card")
    nonce = given.get("payment_method_nonce")
    if nonce:
        instrument = by_nonce(call, str(nonce), "customer", OF_TRANSACTION)
    elif isinstance(sent, dict) and (sent.get("number") or not _updates(sent)):
        instrument = by_number(call, sent, "customer.credit_card")
    else:
        return
    details: Mapping[str, Any] = sent if isinstance(sent, dict) else {}
    options = details.get("options") or {}
    if str(options.get("verify_card", "")).lower() == "true":
        failed = verification(call, instrument)
        if failed is not None:
            made = method_view.verification(call, instrument, failed)
            text = str(made["processor_response_text"])
            raise Failing(failure(dict(call.params), text, verification=made))
    vault(call, record, instrument, details, "customer.credit_card")


def _updates(card: Mapping[str, Any]) -> bool:
    return bool((card.get("options") or {}).get("update_existing_token"))


def _find(call: MerchantCall) -> XmlReply:
    return XmlReply(200, "customer", shown(call, call.named(CUSTOMER)))


def _update(call: MerchantCall) -> XmlReply:
    record = call.named(CUSTOMER)
    given = call.params.get("customer") or {}
    check_email(given, "customer")
    if given.get("id") and given["id"] != record["ref"]:
        raise refuse("customer", "id", "91611")
    record |= {name: given[name] for name in PERSON if name in given}
    fields = custom_fields(call, given.get("custom_fields"), "customer", "91602")
    record["custom_fields"] = {**record["custom_fields"], **fields}
    call.update(record)
    _update_card(call, record, given.get("credit_card"))
    _add_method(call, record, given)
    if given.get("default_payment_method_token"):
        _choose_default(call, record, str(given["default_payment_method_token"]))
    return XmlReply(200, "customer", shown(call, record))


def _update_card(call: MerchantCall, customer: Record, given: Any) -> None:
    if not isinstance(given, dict) or not _updates(given):
        return
    token = str(given["options"]["update_existing_token"])
    method = call.find(METHOD, token)
    if method is None or method["customer"] != customer["id"]:
        raise refuse("customer.credit_card.options", "update_existing_token", "91518")
    if isinstance(given.get("billing_address"), dict):
        kept = method["billing"] or {"id": new_ref(2)}
        method["billing"] = {**kept, **address(given["billing_address"])}
    if given.get("cardholder_name"):
        method["instrument"]["cardholder_name"] = given["cardholder_name"]
    call.update(method)


def _choose_default(call: MerchantCall, customer: Record, token: str) -> None:
    method = call.find(METHOD, token)
    if method is None or method["customer"] != customer["id"]:
        raise refuse("customer", "default_payment_method_token", "91518")
    make_default(call, customer, method)


def _delete(call: MerchantCall) -> XmlReply:
    record = call.named(CUSTOMER)
    for method in reversed(of_customer(call, record)):
        remove(call, method)
    call.store.delete(record["id"])
    return XmlReply(200)


def _key(call: MerchantCall, ref: str) -> str:
    return call.key(CUSTOMER, ref)


def _methods(call: MerchantCall, record: Record, name: str) -> list[str]:
    return text_of(each["instrument"].get(name) for each in of_customer(call, record))


_FIELDS: dict[str, Field] = {
    **{name: Field("text", lambda _, r, n=name: text_of([r[n]])) for name in PERSON},  # type: ignore[misc]
    "id": Field("text", lambda _, r: [r["ref"]], "id", _key),
    "ids": Field("list", lambda _, r: [r["ref"]], "id", _key),
    "created_at": Field("time", lambda _, r: [r["created"]], column="created"),
    "cardholder_name": Field("text", lambda c, r: _methods(c, r, "cardholder_name")),
    "paypal_account_email": Field("text", lambda c, r: _methods(c, r, "email")),
    "payment_method_token": Field("text", lambda c, r: [each["ref"] for each in of_customer(c, r)]),
}


def _found(call: MerchantCall) -> list[Record]:
    return matches(call, CUSTOMER, _FIELDS)


def _search_ids(call: MerchantCall) -> XmlReply:
    return search_ids(_found(call))


def _search(call: MerchantCall) -> XmlReply:
    found = _found(call)
    return page("customers", "customer", [shown(call, each) for each in found])


ROUTES = (
    XmlRoute("POST", "customers", _create),
    XmlRoute("POST", "customers/advanced_search_ids", _search_ids, reads=True),
    XmlRoute("POST", "customers/advanced_search", _search, reads=True),
    XmlRoute("GET", "customers/*", _find),
    XmlRoute("PUT", "customers/*", _update),
    XmlRoute("DELETE", "customers/*", _delete),
)
