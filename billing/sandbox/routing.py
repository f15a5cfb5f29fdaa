"""From method and path to an endpoint."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from billing.sandbox.call import Call
from billing.sandbox.errors import ApiError, Reply
from billing.sandbox.params import Params

# Ids stand second, second and fourth (/v1/customers/{id}/payment_methods/{id}), or third
# (/v1/reporting/report_runs/{id}).
_SHAPES: tuple[tuple[int, ...], ...] = ((), (1,), (1, 3), (2,))


@dataclass(frozen=True, slots=True)
class Route:
    """An endpoint: `*` in the path stands for an id; `kind` is what it answers with."""

    method: str
    path: str
    params: Params
    handler: Callable[[Call], Reply]
    kind: str
    lists: bool = False


class Router:
    """Find the route of a request."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = {(route.method, route.path): route for route in routes}

    def find(self, method: str, path: str) -> tuple[Route, tuple[str, ...]]:
        """Return the route and the ids in the path. Raises: ApiError, 404."""
        parts = path.removeprefix("/v1/").split("/")
        for shape in _SHAPES:
            if shape and shape[-1] >= len(parts):
                continue
            pattern = "/".join("*" if i in shape else part for i, part in enumerate(parts))
            route = self._routes.get((method, f"/v1/{pattern}"))
            if route is not None:
                return route, tuple(parts[i] for i in shape)
        raise ApiError(404, f"Unrecognized request URL ({method}: {path}).")
