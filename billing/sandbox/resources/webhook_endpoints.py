"""Webhook endpoints: where events are posted, and the secrets they are signed with.

An endpoint shows its secret once, when it is created. Only the control API gives it two, which
is what Stripe does for a while when a secret is rolled.
"""

from typing import Any

from billing.sandbox.call import Call, ObjectKind
from billing.sandbox.errors import Body, Reply
from billing.sandbox.ids import new_id
from billing.sandbox.listing import list_page, list_params
from billing.sandbox.params import (
    Params,
    boolean,
    clearable_text,
    merged_metadata,
    metadata,
    text,
    texts,
)
from billing.sandbox.routing import Route
from billing.sandbox.store import Record
from billing.sandbox.webhooks.sender import check_url
from billing.sandbox.webhooks.signing import new_secret


def new_endpoint(call: Call, url: str, events: list[str]) -> Record:
    """Store an endpoint with a fresh secret. Raises: ApiError for a URL beyond this machine."""
    record: Record = {
        "id": new_id("we"),
        "created": call.now,
        "url": check_url(url),
        "enabled_events": events,
        "disabled": False,
        "description": None,
        "api_version": None,
        "metadata": {},
        "secrets": [new_secret()],
    }
    call.store.insert("webhook_endpoint", record)
    call.outbox.endpoints_changed()
    return record


def render(_call: Call, record: Record) -> Body:
    """Return the endpoint as Stripe shows it, without its secret."""
    return {
        "id": record["id"],
        "object": "webhook_endpoint",
        "api_version": record["api_version"],
        "application": None,
        "created": record["created"],
        "description": record["description"],
        "enabled_events": record["enabled_events"],
        "livemode": False,
        "metadata": record["metadata"],
        "status": "disabled" if record["disabled"] else "enabled",
        "url": record["url"],
    }


def _create(call: Call) -> Reply:
    record = new_endpoint(call, call.params["url"], call.params["enabled_events"])
    _apply(call, record)
    return Reply(200, {**render(call, record), "secret": record["secrets"][0]})


def _update(call: Call) -> Reply:
    record = call.named_in_path("webhook_endpoint", "webhook_endpoint")
    _apply(call, record)
    return Reply(200, render(call, record))


def _apply(call: Call, record: Record) -> None:
    params: Any = call.params
    for name in ("description", "api_version", "enabled_events", "disabled"):
        if name in params:
            record[name] = params[name]
    if "url" in params:
        record["url"] = check_url(params["url"])
    record["metadata"] = merged_metadata(record["metadata"], params.get("metadata", {}))
    call.store.update(record)
    call.outbox.endpoints_changed()


def _delete(call: Call) -> Reply:
    record = call.named_in_path("webhook_endpoint", "webhook_endpoint")
    call.store.delete(record["id"])
    call.outbox.drop(record["id"])
    call.outbox.endpoints_changed()
    return Reply(200, {"id": record["id"], "object": "webhook_endpoint", "deleted": True})


def _retrieve(call: Call) -> Reply:
    return Reply(200, render(call, call.named_in_path("webhook_endpoint", "webhook_endpoint")))


def _list(call: Call) -> Reply:
    return list_page(call, KIND, "/v1/webhook_endpoints", [])


KIND = ObjectKind("webhook_endpoint", render)

_FIELDS = {
    "url": text,
    "enabled_events": texts,
    "description": clearable_text,
    "metadata": metadata,
    "expand": texts,
}
_CREATE = Params({**_FIELDS, "api_version": text}, required=("enabled_events", "url"))
_ONLY_EXPAND = Params({"expand": texts})

ROUTES = (
    Route("POST", "/v1/webhook_endpoints", _CREATE, _create, KIND.name),
    Route(
        "POST",
        "/v1/webhook_endpoints/*",
        Params({**_FIELDS, "disabled": boolean}),
        _update,
        KIND.name,
    ),
    Route("GET", "/v1/webhook_endpoints/*", _ONLY_EXPAND, _retrieve, KIND.name),
    Route("DELETE", "/v1/webhook_endpoints/*", Params({}), _delete, KIND.name),
    Route("GET", "/v1/webhook_endpoints", list_params(), _list, KIND.name, lists=True),
)
