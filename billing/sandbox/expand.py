"""`expand[]`: replace an id in the answer by the object it names."""

from collections.abc import Iterable, Mapping
from typing import Any

from billing.sandbox.call import Call, ObjectKind
from billing.sandbox.errors import ApiError, Body, refused
from billing.sandbox.routing import Route

_DEPTH_MAX = 4


def check_expand(paths: Iterable[str], route: Route, kinds: Mapping[str, ObjectKind]) -> None:
    """Refuse a path that leads nowhere, before anything is executed. Raises: ApiError."""
    for path in paths:
        parts = path.split(".")
        if len(parts) > _DEPTH_MAX:
            raise refused(f"You cannot expand more than {_DEPTH_MAX} levels of a property.")
        if route.lists:
            if parts[0] != "data":
                raise _cannot(path)
            parts = parts[1:]
        _check_path(path, parts, (route.kind,), kinds)


def _check_path(
    path: str, parts: list[str], names: tuple[str, ...], kinds: Mapping[str, ObjectKind]
) -> None:
    for part in parts:
        # `source` may be a charge or a refund: a field that one of them has will do.
        names = tuple(
            target
            for name in names
            if name in kinds
            for target in kinds[name].expandable.get(part, ())
        )
        if not names:
            raise _cannot(path)


def _cannot(path: str) -> ApiError:
    return refused(f"This property cannot be expanded ({path}).", param="expand")


def expand(call: Call, body: Body, paths: Iterable[str]) -> None:
    """Follow each path through the rendered answer, in place."""
    for path in paths:
        parts = path.split(".")
        if body.get("object") == "list":
            for item in body["data"]:
                _follow(call, item, parts[1:])
        else:
            _follow(call, body, parts)


def _follow(call: Call, item: Body, parts: list[str]) -> None:
    for part in parts:
        value: Any = item.get(part)
        if isinstance(value, str):
            targets = call.kinds[item["object"]].expandable.get(part, ())
            value = _rendered(call, targets, value)
            item[part] = value
        if not isinstance(value, dict):
            return
        item = value


def _rendered(call: Call, targets: tuple[str, ...], object_id: str) -> Body | str:
    for name in targets:
        record = call.store.find(name, object_id)
        if record is not None:
            return call.kinds[name].render(call, record)
    return object_id
