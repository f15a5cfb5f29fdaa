"""Finding the endpoint of a control request and wording what is wrong with it."""

import json

from billing.sandbox.control import basics, money, reports, webhooks
from billing.sandbox.control.desk import Desk, Endpoint
from billing.sandbox.errors import ApiError, Reply
from billing.sandbox.http import Answer, Request, json_answer

_ENDPOINTS: dict[tuple[str, str], Endpoint] = {
    **basics.ENDPOINTS,
    **money.ENDPOINTS,
    **webhooks.ENDPOINTS,
    **reports.ENDPOINTS,
}


class Control:
    """Answer /_sandbox requests. There is no key to them: the server listens on loopback."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def answer(self, request: Request) -> Answer:
        """Return the answer to a control request."""
        found = _find(request.method, request.path.removeprefix("/_sandbox/"))
        if found is None:
            return _problem(404, f"no such control endpoint: {request.method} {request.path}")
        endpoint, names = found
        try:
            wanted = json.loads(request.body or "{}")
            if not isinstance(wanted, dict):
                raise ValueError("send a JSON object")
            self._desk.account.catch_up()
            made = endpoint(self._desk, names, wanted)
            return made if isinstance(made, Answer) else json_answer(Reply(200, made))
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


def _problem(status: int, message: str) -> Answer:
    return json_answer(Reply(status, {"error": {"message": message}}))
