"""The guard of the console: what every request passes before a page, and every answer after it.

    in    nothing from other sites, nothing without a session but the way to one
    out   headers that allow no script, style or frame of anybody else; a request id

Which scope a page needs stands in the table of pages, and is checked there.
"""

import logging
import time
from collections.abc import Callable
from typing import Final

import anyio
import structlog
from anyio import to_thread
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from billing import tracing
from billing.console.logins import LOGIN, Logins
from billing.console.metrics import ConsoleMetrics
from billing.console.origins import is_foreign
from billing.console.requests import HOME
from billing.ids import new_id

logger = logging.getLogger(__name__)

STATIC_PATH: Final = f"{HOME}/static/"
HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "referrer-policy": "same-origin",
    "strict-transport-security": "max-age=31536000",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
Told = Callable[[Scope, int, str], Response]
"""Makes the page of a refusal from the request, a status and a sentence."""


class ConsoleGuard:
    """The outermost layer of the application."""

    def __init__(
        self, app: ASGIApp, *, logins: Logins, metrics: ConsoleMetrics, told: Told
    ) -> None:
        self._app = app
        self._logins = logins
        self._metrics = metrics
        self._told = told
        # Threads of their own, so that who is logged in is found beside slow pages.
        self._admitting = anyio.CapacityLimiter(4)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._other(scope, receive, send)
            return
        request_id, began, status = str(new_id()), time.perf_counter(), 500

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers["x-request-id"] = request_id
            await send(message)

        with (
            structlog.contextvars.bound_contextvars(request_id=request_id),
            tracing.span("console request", None, request=request_id) as span,
        ):
            await self._serve(scope, receive, sent)
            route = getattr(scope.get("route"), "path", None)
            span.set(method=scope["method"], route=route, status=status)
        self._metrics.answered(scope["method"], route, status, time.perf_counter() - began)

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        else:  # websockets: there are none
            await send({"type": "websocket.close", "code": 1008})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = await self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await refusal(scope, receive, send)

    async def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if is_foreign(scope["method"], headers, self._logins.settings.url):
            return self._told(scope, 403, "this request was started by another site")
        if scope["path"] == LOGIN or scope["path"].startswith(STATIC_PATH):
            return None
        person = await to_thread.run_sync(self._logins.who, headers, limiter=self._admitting)
        if person is None:
            return self._told(scope, 401, "")
        scope.setdefault("state", {})["person"] = person
        return None
