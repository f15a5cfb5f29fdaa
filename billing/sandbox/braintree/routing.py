"""From method and path to a Braintree endpoint."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from billing.sandbox.braintree.call import MerchantCall
from billing.sandbox.braintree.replies import NoSuchObject, XmlReply


@dataclass(frozen=True, slots=True)
class XmlRoute:
    """An endpoint; `*` in its path stands for an id, `keyed` for taking an api_request_key."""

    method: str
    path: str
    handler: Callable[[MerchantCall], XmlReply]
    keyed: bool = False
    reads: bool = False  # a POST that only asks


class XmlRouter:
    """Find the route of a request."""

    def __init__(self, routes: Iterable[XmlRoute]) -> None:
        self._routes = [(route, tuple(route.path.split("/"))) for route in routes]

    def find(self, method: str, path: str) -> tuple[XmlRoute, tuple[str, ...]]:
        """Return the route of a path below the merchant, and the ids in it.

        Raises: NoSuchObject.
        """
        parts = path.strip("/").split("/")
        for route, pattern in self._routes:
            if route.method == method and _matches(pattern, parts):
                ids = zip(pattern, parts, strict=True)
                return route, tuple(part for each, part in ids if each == "*")
        raise NoSuchObject


def _matches(pattern: tuple[str, ...], parts: list[str]) -> bool:
    if len(pattern) != len(parts):
        return False
    return all(each in ("*", part) for each, part in zip(pattern, parts, strict=True))
