"""Finding the endpoint of a control request and wording what is wrong with it."""

import json

from billing.sandbox.control import basics, money, reports, webhooks
from billing.sandbox.control.endpoints import ControlEndpoints, Endpoint
from billing.sandbox.errors import ApiError, Reply
from billing.sandbox.http import HttpAnswer, HttpRequest, json_answer

_ENDPOINTS: dict[tuple[str, str], Endpoint] = {
    **basics.ENDPOINTS,
    **money.ENDPOINTS,
    **webhooks.ENDPOINTS,
    **reports.ENDPOINTS,
}


class Control:
    """Answer /_sandbox requests. There is no key to them: the server listens on loopback."""

    def __init__(self, control: ControlEndpoints) -> None:
        self._control = control

    def answer(self, request: HttpRequest) -> HttpAnswer:
        """Return the answer to a control request."""
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


def _find(method: str, path: str) -> tuple[Endpoint, tuple[str, ...]] | None:
    endpoint = _ENDPOINTS.get((method, path))
    if endpoint is not None:
        return endpoint, ()
    parts = path.split("/")
    if len(parts) < 2:
        return None
    endpoint = _ENDPOINTS.get((method, "/".join([parts[0], "*", *parts[2:]])))
    return None if endpoint is None else (endpoint, (parts[1],))


def _problem(status: int, message: str) -> HttpAnswer:
    return json_answer(Reply(status, {"error": {"message": message}}))
