"""Events: what happened to an object, with the object as it was then.

Recording one also owes it to the webhook endpoints that want it, in the same transaction.
"""

from dataclasses import replace

from billing.sandbox.call import Call, ObjectKind
from billing.sandbox.errors import Body, Reply, refused
from billing.sandbox.ids import new_id
from billing.sandbox.listing import list_page, list_params
from billing.sandbox.params import Params, boolean, text, texts
from billing.sandbox.routing import Route
from billing.sandbox.store import Record
from billing.sandbox.webhooks.outbox import NOT_DELIVERED

API_VERSION = "2026-10-28.endive"


def record_event(call: Call, event_type: str, kind: ObjectKind, record: Record) -> None:
    """Record that something happened to an object, with a snapshot of it."""
    event: Record = {
        "id": new_id("evt"),
        "created": call.now,
        "type": event_type,
        "kind": kind.name,
        "object": record,
        "request": {"id": call.request_id, "idempotency_key": call.idempotency_key},
    }
    call.store.insert("event", event, parent=record["id"], subtype=event_type)
    call.outbox.add(event["id"], event_type)


def render(call: Call, record: Record) -> Body:
    """Return the event as Stripe shows it."""
    then = replace(call, now=record["created"])
    return {
        "id": record["id"],
        "object": "event",
        "api_version": API_VERSION,
        "created": record["created"],
        "data": {"object": call.kinds[record["kind"]].render(then, record["object"])},
        "livemode": False,
        "pending_webhooks": call.outbox.pending(record["id"]),
        "request": record["request"],
        "type": record["type"],
    }


def _retrieve(call: Call) -> Reply:
    return Reply(200, render(call, call.named_in_path("event")))


def _list(call: Call) -> Reply:
    wanted = call.params
    conditions: list[tuple[str, object]] = []
    if "type" in wanted and "types" in wanted:
        raise refused("You may only specify one of these: type, types.")
    if "type" in wanted:
        conditions.append(("subtype = ?", wanted["type"]))
    if "types" in wanted:
        marks = ", ".join("?" * len(wanted["types"]))
        conditions.append((f"subtype IN ({marks})", tuple(wanted["types"])))
    if "delivery_success" in wanted:
        word = "NOT IN" if wanted["delivery_success"] else "IN"
        conditions.append((f"id {word} {NOT_DELIVERED}", ()))
    return list_page(call, KIND, "/v1/events", conditions)


KIND = ObjectKind("event", render)

ROUTES = (
    Route("GET", "/v1/events/*", Params({"expand": texts}), _retrieve, "event"),
    Route(
        "GET",
        "/v1/events",
        list_params(type=text, types=texts, delivery_success=boolean),
        _list,
        "event",
        lists=True,
    ),
)
