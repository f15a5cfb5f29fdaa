"""The request guard: checks of every HTTP request, before any handler runs and after all of them.

    in    the API key is recognised, its rate held, size and time of arrival bounded, card
          numbers refused
    out   security headers and a request id on every answer; no traceback, whatever was raised

Only webhooks pass without a key: their handler reads the body and checks its signature.
"""

import json
import logging
import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

import anyio
import structlog
from anyio import to_thread
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from billing.api import problems
from billing.api.cards import refuse_in_json
from billing.api.metrics import ApiMetrics
from billing.api.problems import Problem, Refused
from billing.api.security import CHALLENGE, Guard
from billing.api.wire import too_late
from billing.errors import BillingError
from billing.ids import new_id
from billing.pan import refuse_card_number

logger = logging.getLogger(__name__)

WEBHOOKS: Final = "/v1/webhooks/"
ADMITTING_THREADS: Final = 4
# The rest of such a request isn't read, so the connection is closed after it.
_HANG_UP: Final = frozenset({408, 413})
_HEADERS: Final[Mapping[str, str]] = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "strict-transport-security": "max-age=63072000",
    "x-content-type-options": "nosniff",
}


def tell(problem: Problem) -> JSONResponse:
    """Return a problem as an answer."""
    headers = problem.http_headers()
    if problem.kind.status == 401:
        headers["www-authenticate"] = CHALLENGE
    if problem.kind.status in _HANG_UP:
        headers["connection"] = "close"
    return JSONResponse(
        problem.body(), problem.kind.status, headers, media_type=problems.CONTENT_TYPE
    )


class RequestGuard:
    """The outermost layer of the application: every HTTP request passes it first."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        guard: Guard,
        metrics: ApiMetrics,
        body_bytes_max: int,
        arrival_seconds: float,
    ) -> None:
        self._app = app
        self._guard = guard
        self._metrics = metrics
        self._body_bytes_max = body_bytes_max
        self._arrival_seconds = arrival_seconds
        # Threads of their own, so that refusals don't wait for charges at the provider.
        self._admitting = anyio.CapacityLimiter(ADMITTING_THREADS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # websockets: there are none
            await send({"type": "websocket.close", "code": 1008})
            return
        visit = _Visit(send)
        began = time.perf_counter()
        with structlog.contextvars.bound_contextvars(request_id=visit.request_id):
            try:
                await self._serve(scope, receive, visit)
            except Exception as error:  # noqa: BLE001  the last place there is
                await self._failed(error, scope, receive, visit)
        route = getattr(scope.get("route"), "path", None)
        self._metrics.http(scope["method"], route, visit.status, time.perf_counter() - began)

    async def _serve(self, scope: Scope, receive: Receive, visit: "_Visit") -> None:
        receive = _in_time(receive, self._arrival_seconds)
        if scope["path"].startswith(WEBHOOKS):
            await self._app(scope, receive, visit.send)
            return
        headers = Headers(scope=scope)
        visitor = await to_thread.run_sync(
            self._guard.admit, headers.get("authorization"), limiter=self._admitting
        )
        scope.setdefault("state", {})["visitor"] = visitor
        body = await _read(receive, headers, self._body_bytes_max)
        _refuse_cards(scope, headers, body)
        await self._app(scope, _once_more(body, receive), visit.send)

    async def _failed(
        self, error: Exception, scope: Scope, receive: Receive, visit: "_Visit"
    ) -> None:
        problem = problems.of_error(error)
        if problem is None:
            logger.exception("a request failed: %s %s", scope["method"], scope["path"])
            problem = problems.internal()
        elif not isinstance(error, Refused | BillingError):
            logger.warning("a request failed: %s", error)
        if not visit.started:
            self._metrics.refused(problem.kind.code)
            await tell(problem)(scope, receive, visit.send)


class _Visit:
    """One request's way out."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.request_id = str(new_id())
        self.started = False
        self.status = 500

    async def send(self, message: Message) -> None:
        """Pass an answer on, with our headers added."""
        if message["type"] == "http.response.start":
            self.started = True
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            headers["x-request-id"] = self.request_id
        await self._send(message)


def _in_time(receive: Receive, seconds: float) -> Receive:
    """Return what receives a body that has to be whole by then. Raises `Refused`."""
    until = anyio.current_time() + seconds
    whole = False

    async def bounded() -> Message:
        nonlocal whole
        if whole:
            return await receive()
        try:
            with anyio.fail_after(until - anyio.current_time()):
                message = await receive()
        except TimeoutError:
            late = too_late()
            raise Refused(late.kind.code, late.detail, **late.more) from None
        whole = not message.get("more_body", False)
        return message

    return bounded


async def _read(receive: Receive, headers: Headers, limit: int) -> bytes:
    """Return the whole body. Raises `Refused` when it is too large, before reading on."""
    too_large = Refused("body_too_large", f"a request may have {limit} bytes", limit=limit)
    declared = headers.get("content-length", "0")
    if not declared.isdigit() or int(declared) > limit:
        raise too_large
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused("malformed_request", "the request ended before its body did")
        body += message.get("body", b"")
        if len(body) > limit:
            raise too_large
        if not message.get("more_body", False):
            return bytes(body)


def _once_more(body: bytes, receive: Receive) -> Receive:
    """Return what gives a body that was read to whoever reads next."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _refuse_cards(scope: Scope, headers: Headers, body: bytes) -> None:
    """Check each part of a request whose text might be stored. Raises `CardNumberRefused`."""
    refuse_card_number(scope["path"], "path")
    for name, value in parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True):
        refuse_card_number(f"{name}|{value}", "query")
    refuse_card_number(headers.get("idempotency-key", ""), "Idempotency-Key")
    if body:
        refuse_in_json(_parsed(headers, body))


def _parsed(headers: Headers, body: bytes) -> Any:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused("unsupported_media_type", "send application/json")
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise Refused("malformed_request", "the body is no JSON", where="body") from None
