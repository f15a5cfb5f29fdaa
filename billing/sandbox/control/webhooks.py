"""Webhook endpoints with their secrets, the conditions of delivery, events once more."""

import time

from billing.sandbox.control.endpoints import (
    ControlEndpoints,
    Endpoint,
    Wanted,
    named,
    one_of,
    read,
)
from billing.sandbox.errors import Body
from billing.sandbox.resources import webhook_endpoints
from billing.sandbox.store import Record
from billing.sandbox.webhooks.sender import check_url
from billing.sandbox.webhooks.signing import SIGNATURES, new_secret

_Names = tuple[str, ...]
_ENDPOINT = {"url": str, "secrets": list, "enabled_events": list, "disabled": bool, "rotate": bool}
_BY_HAND = {"endpoint": str, "times": int, "signature": str, "timestamp_offset": int}


def _show(control: ControlEndpoints, _: _Names, __: Wanted) -> Body:
    store = control.account.store
    with store.reading():
        endpoints = store.select("webhook_endpoint", oldest_first=True)
        counts = control.account.outbox.counts()
    return {
        "endpoints": [_described(each) for each in endpoints],
        "deliveries": counts,
        **control.dispatcher.incidents(),
        "conditions": control.dispatcher.conditions.described(),
    }


def _described(record: Record) -> Body:
    shown = ("id", "url", "secrets", "enabled_events", "disabled")
    return {name: record[name] for name in shown}


def _add(control: ControlEndpoints, _: _Names, wanted: Wanted) -> Body:
    """Add an endpoint, or change the one with this URL."""
    read(wanted, _ENDPOINT, ("url",))
    store = control.account.store
    with store.transaction():
        there = [each for each in store.select("webhook_endpoint") if each["url"] == wanted["url"]]
        call = control.account.call()
        record = there[0] if there else webhook_endpoints.new_endpoint(call, wanted["url"], ["*"])
        return _changed(control, record, wanted)


def _change(control: ControlEndpoints, names: _Names, wanted: Wanted) -> Body:
    read(wanted, _ENDPOINT)
    with control.account.store.transaction():
        record = named(control.account.call(), "webhook_endpoint", names[0])
        return _changed(control, record, wanted)


def _changed(control: ControlEndpoints, record: Record, wanted: Wanted) -> Body:
    for name in ("secrets", "enabled_events"):
        if not all(isinstance(each, str) and each for each in wanted.get(name, ["-"])):
            raise ValueError(f"{name} is a list of texts")
    if wanted.get("secrets") == []:
        raise ValueError("an endpoint has at least one secret")
    check_url(str(wanted.get("url", record["url"])))
    for name in ("url", "secrets", "enabled_events", "disabled"):
        record[name] = wanted.get(name, record[name])
    if wanted.get("rotate"):
        record["secrets"] = [new_secret(), record["secrets"][0]]
    control.account.store.update(record)
    control.account.outbox.endpoints_changed()
    return _described(record)


def _set_conditions(control: ControlEndpoints, _: _Names, wanted: Wanted) -> Body:
    return control.dispatcher.change(wanted).described()


def _settle(control: ControlEndpoints, _: _Names, wanted: Wanted) -> Body:
    """Wait until nothing is pending any more, or the time is over."""
    read(wanted, {"timeout_ms": int})
    until = time.monotonic() + wanted.get("timeout_ms", 5_000) / 1000
    while True:
        with control.account.store.reading():
            counts = control.account.outbox.counts()
        if not counts.get("pending") or time.monotonic() >= until:
            return {"deliveries": counts}
        time.sleep(0.01)


def _deliver(control: ControlEndpoints, names: _Names, wanted: Wanted) -> Body:
    read(wanted, _BY_HAND)
    one_of(wanted.get("signature", "good"), SIGNATURES, "signature")
    return {"answers": control.dispatcher.deliver_by_hand(names[0], wanted)}


ENDPOINTS: dict[tuple[str, str], Endpoint] = {
    ("GET", "webhooks"): _show,
    ("POST", "webhooks"): _add,
    ("POST", "webhooks/conditions"): _set_conditions,
    ("POST", "webhooks/settle"): _settle,
    ("POST", "webhooks/*"): _change,
    ("POST", "events/*/deliver"): _deliver,
}
