"""Addresses of customers."""

from billing.sandbox.braintree.call import CUSTOMER, MerchantCall, new_ref
from billing.sandbox.braintree.people import address, address_view
from billing.sandbox.braintree.replies import NoSuchObject, XmlReply, refuse
from billing.sandbox.braintree.routing import XmlRoute
from billing.sandbox.store import Record


def _create(call: MerchantCall) -> XmlReply:
    customer = call.named(CUSTOMER)
    given = call.params.get("address") or {}
    if not any(value is not None for value in given.values()):
        raise refuse("address", "base", "81801")
    record = {
        **address(given),
        "id": new_ref(4),
        "customer_ref": customer["ref"],
        "created": call.now,
    }
    customer["addresses"] = [*customer["addresses"], record]
    call.update(customer)
    return XmlReply(201, "address", address_view(record))


def _named(call: MerchantCall) -> tuple[Record, Record]:
    customer = call.named(CUSTOMER)
    for each in customer["addresses"]:
        if each["id"] == call.path[1]:
            return customer, each
    raise NoSuchObject


def _find(call: MerchantCall) -> XmlReply:
    return XmlReply(200, "address", address_view(_named(call)[1]))


def _update(call: MerchantCall) -> XmlReply:
    customer, record = _named(call)
    given = call.params.get("address") or {}
    record |= {name: value for name, value in address(given).items() if name in given}
    call.update(customer)
    return XmlReply(200, "address", address_view(record))


def _delete(call: MerchantCall) -> XmlReply:
    customer, record = _named(call)
    customer["addresses"] = [each for each in customer["addresses"] if each is not record]
    call.update(customer)
    return XmlReply(200)


ROUTES = (
    XmlRoute("POST", "customers/*/addresses", _create),
    XmlRoute("GET", "customers/*/addresses/*", _find),
    XmlRoute("PUT", "customers/*/addresses/*", _update),
    XmlRoute("DELETE", "customers/*/addresses/*", _delete),
)
