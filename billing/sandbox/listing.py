"""List endpoints: newest first, `limit`, `starting_after`, `ending_before`, `created`."""

from collections.abc import Sequence
from typing import Any

from billing.sandbox.call import Call, ObjectKind
from billing.sandbox.errors import Reply, missing_object, refused
from billing.sandbox.params import Params, Reader, created_range, integer, text, texts

_LIMIT_DEFAULT = 10
# Charges and what belongs to them can be left out of lists, through the control API.
VISIBLE: tuple[str, tuple[()]] = ("json_extract(body, '$.hidden') IS NULL", ())


def list_params(**filters: Reader) -> Params:
    """Return the parameters every list takes, and these filters."""
    return Params(
        {
            "limit": integer(1, 100),
            "starting_after": text,
            "ending_before": text,
            "created": created_range,
            "expand": texts,
            **filters,
        }
    )


def list_page(
    call: Call, kind: ObjectKind, url: str, conditions: Sequence[tuple[str, Any]]
) -> Reply:
    """Answer with one page of the objects that meet `conditions`."""
    limit = call.params.get("limit", _LIMIT_DEFAULT)
    backwards = "ending_before" in call.params
    wanted = [*conditions, *call.params.get("created", ()), *_cursor(call, kind)]
    records = call.store.select(kind.name, wanted, limit=limit + 1, oldest_first=backwards)
    page = records[:limit]
    if backwards:
        page.reverse()
    data = [kind.render(call, record) for record in page]
    more = len(records) > limit
    return Reply(200, {"object": "list", "data": data, "has_more": more, "url": url})


def _cursor(call: Call, kind: ObjectKind) -> list[tuple[str, Any]]:
    after, before = call.params.get("starting_after"), call.params.get("ending_before")
    if after is not None and before is not None:
        raise refused("You may only specify one of these: starting_after, ending_before.")
    if after is not None:
        return [("(created, seq) < (?, ?)", _position(call, kind, after, "starting_after"))]
    if before is not None:
        return [("(created, seq) > (?, ?)", _position(call, kind, before, "ending_before"))]
    return []


def _position(call: Call, kind: ObjectKind, object_id: str, param: str) -> tuple[int, int]:
    position = call.store.position(kind.name, object_id)
    if position is None:
        raise missing_object(kind.name, object_id, param=param, in_path=False)
    return position
