"""Finding the endpoint of a control request and wording what is wrong with it."""

import json

from billing.sandbox.control import basics, braintree, money, reports, triggers, webhooks
from billing.sandbox.control.endpoints import ControlEndpoints, Endpoint
from billing.sandbox.errors import ApiError, Reply
from billing.sandbox.http import HttpAnswer, HttpRequest, json_answer

_ENDPOINTS: dict[tuple[str, str], Endpoint] = {
    **basics.ENDPOINTS,
    **money.ENDPOINTS,
    **webhooks.ENDPOINTS,
    **reports.ENDPOINTS,
    **triggers.ENDPOINTS,
    **braintree.ENDPOINTS,
}


_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})


class Control:
    """Answer /_sandbox requests. There is no key to them: the server listens on loopback.

    A web page that is open on this machine can send requests to loopback as well. What its browser
    sends for it is refused: another origin, another host name, a body that isn't named JSON.
    """

    def __init__(self, control: ControlEndpoints) -> None:
        self._control = control

    def answer(self, request: HttpRequest) -> HttpAnswer:
        """Return the answer to a control request."""
        refused = _refused(request)
        if refused is not None:
            return refused
        found = _find(request.method, request.path.removeprefix("/_sandbox/"))
        if found is None:
            return _problem(404, f"no such control endpoint: {request.method} {request.path}")
        endpoint, names = found
        try:
            wanted = json.loads(request.body or "{}")
            if not isinstance(wanted, dict):
                raise ValueError("send a JSON object")
            self._control.account.catch_up()
            made = endpoint(self._control, names, wanted)
            return made if isinstance(made, HttpAnswer) else json_answer(Reply(200, made))
        except ApiError as error:
            return json_answer(error.reply)
        except (ValueError, TypeError) as error:
            return _problem(400, str(error))


def _refused(request: HttpRequest) -> HttpAnswer | None:
    host = request.headers.get("host", "127.0.0.1")
    if host.rpartition(":")[0] not in _LOOPBACK and host not in _LOOPBACK:
        return _problem(403, "the control API is reached as 127.0.0.1 or localhost")
    origin = request.headers.get("origin")
    if origin is not None and origin != f"http://{host}":
        return _problem(403, "the control API takes no requests of web pages")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.body and kind != "application/json":
        return _problem(415, "send application/json")
    return None


def _find(method: str, path: str) -> tuple[Endpoint, tuple[str, ...]] | None:
    endpoint = _ENDPOINTS.get((method, path))
    if endpoint is not None:
        return endpoint, ()
    parts = path.split("/")
    at = 2 if parts[0] == "braintree" else 1  # where an id stands
    if len(parts) <= at:
        return None
    endpoint = _ENDPOINTS.get((method, "/".join([*parts[:at], "*", *parts[at + 1 :]])))
    return None if endpoint is None else (endpoint, (parts[at],))


def _problem(status: int, message: str) -> HttpAnswer:
    return json_answer(Reply(status, {"error": {"message": message}}))
