"""Addresses of customers."""

from billing.sandbox.braintree.call import CUSTOMER, MerchantCall, new_ref
from billing.sandbox.braintree.people import address, address_view
from billing.sandbox.braintree.replies import NotFound, Reply, refuse
from billing.sandbox.braintree.routing import Route
from billing.sandbox.store import Record


def _create(call: MerchantCall) -> Reply:
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
    return Reply(201, "address", address_view(record))


def _named(call: MerchantCall) -> tuple[Record, Record]:
    customer = call.named(CUSTOMER)
    for each in customer["addresses"]:
        if each["id"] == call.path[1]:
            return customer, each
    raise NotFound


def _find(call: MerchantCall) -> Reply:
    return Reply(200, "address", address_view(_named(call)[1]))


def _update(call: MerchantCall) -> Reply:
    customer, record = _named(call)
    given = call.params.get("address") or {}
    record |= {name: value for name, value in address(given).items() if name in given}
    call.update(customer)
    return Reply(200, "address", address_view(record))


def _delete(call: MerchantCall) -> Reply:
    customer, record = _named(call)
    customer["addresses"] = [each for each in customer["addresses"] if each is not record]
    call.update(customer)
    return Reply(200)


ROUTES = (
    Route("POST", "customers/*/addresses", _create),
    Route("GET", "customers/*/addresses/*", _find),
    Route("PUT", "customers/*/addresses/*", _update),
    Route("DELETE", "customers/*/addresses/*", _delete),
)
