"""The application: each page of the table at its address, with its scope, and errors as pages."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import parse_qsl

import anyio
from anyio import to_thread
from fastapi import FastAPI, Request
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from billing.console.console import STATIC, Console
from billing.console.guard import ConsoleGuard
from billing.console.logins import LOGIN, LOGOUT, Logins, TooManyLogins
from billing.console.metrics import ConsoleMetrics
from billing.console.pages import PAGES
from billing.console.requests import HOME, ConsolePage, PageRequest, Pairs, Parameters, Person
from billing.errors import BadInput, BillingError, Conflict, NotFound, SchemaUnknown, Unavailable
from billing.pan import refuse_card_number
from billing.rules.texts import has_controls

logger = logging.getLogger(__name__)

BODY_BYTES_MAX: Final = 262_144
"""The largest form: an edit of a catalog has some tens of kilobytes."""
ARRIVAL_SECONDS: Final = 20.0
FORM: Final = "application/x-www-form-urlencoded"
FIELDS_MAX: Final = 2_000
_LINES: Final = {ord(char): None for char in "\r\n\t"}
_STATUS: Final[tuple[tuple[type[BillingError], int], ...]] = (
    (NotFound, 404),
    (Conflict, 409),
    (BadInput, 422),
    (Unavailable, 503),
    (SchemaUnknown, 503),
)
Endpoint = Callable[[Request], Awaitable[Response]]


class _Files(StaticFiles):
    """Files whose names have their version: a browser may keep them."""

    def file_response(self, *args: object, **kwargs: object) -> Response:
        """Answer with a file."""
        response = super().file_response(*args, **kwargs)  # type: ignore[arg-type]
        response.headers["cache-control"] = "private, max-age=3600"
        return response


def create_app(console: Console, logins: Logins, metrics: ConsoleMetrics) -> FastAPI:
    """Make the application."""
    threads = console.runtime.settings.console.threads

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        to_thread.current_default_thread_limiter().total_tokens = threads
        yield

    app = FastAPI(
        openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False, lifespan=lifespan
    )
    console.templates.globals["places"] = {page.path.lstrip("/") for page in PAGES}
    for page in PAGES:
        app.add_api_route(
            HOME + page.path, _endpoint(page, console), methods=[page.method], response_model=None
        )
    _login_routes(app, console, logins)
    app.mount(f"{HOME}/static", _Files(directory=STATIC), name="static")
    app.add_api_route("/", _home, methods=["GET"], response_model=None)
    _tell_errors(app, console)
    app.add_middleware(
        ConsoleGuard,
        logins=logins,
        metrics=metrics,
        told=lambda scope, status, what: _told(console, status, what, scope=scope),
    )
    return app


async def _home(_: Request) -> Response:
    return RedirectResponse(HOME, 303)


def _endpoint(page: ConsolePage, console: Console) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        person: Person = request.state.person
        if not person.may(page.needs):
            what = f"this needs the scope {page.needs}, which your key doesn't have"
            return _told(console, 403, what, person=person)
        form: Pairs = await _form(request) if page.method == "POST" else ()
        page_request = PageRequest(
            console,
            person,
            _address(request.scope),
            {name: str(value) for name, value in request.path_params.items()},
            Parameters(request.query_params.multi_items()),
            Parameters(form),
        )
        return await to_thread.run_sync(_answer, page, page_request)

    return endpoint


def _answer(page: ConsolePage, page_request: PageRequest) -> Response:
    """Answer in a thread: pages ask the database."""
    for name, value in (
        *page_request.path.items(),
        *page_request.query.pairs,
        *page_request.form.pairs,
    ):
        refuse_card_number(value, name)
        if has_controls(value.translate(_LINES)):
            raise BadInput("it has a character that no text may have", where=name)
    return page.handle(page_request)


def _address(scope: Scope) -> str:
    query = scope["query_string"].decode("latin-1")
    return f"{scope['path']}?{query}" if query else str(scope["path"])


async def _form(request: Request) -> Pairs:
    """Return the fields of a form. Raises: HTTPException."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != FORM:
        raise HTTPException(415, "send a form")
    body = bytearray()
    try:
        with anyio.fail_after(ARRIVAL_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > BODY_BYTES_MAX:
                    raise HTTPException(413, f"a form may have {BODY_BYTES_MAX:,} bytes")
        return parse_qsl(
            body.decode(), keep_blank_values=True, errors="strict", max_num_fields=FIELDS_MAX
        )
    except TimeoutError:
        raise HTTPException(408, "the form took too long to arrive") from None
    except ValueError:
        raise HTTPException(400, "the form can't be read") from None


def _login_routes(app: FastAPI, console: Console, logins: Logins) -> None:
    async def log_in(request: Request) -> Response:
        form = Parameters(await _form(request))
        onward = _within(form.get("next"))
        address = request.client.host if request.client else ""
        try:
            token = await to_thread.run_sync(logins.open, form.get("key"), address)
        except TooManyLogins:
            what = "too many keys were tried from here: wait a minute"
            return _login_page(console, 429, onward, what)
        if token is None:
            what = "this key isn't known, was revoked, or may not read"
            return _login_page(console, 401, onward, what)
        return logins.give(RedirectResponse(onward, 303), token)

    async def log_out(request: Request) -> Response:
        await to_thread.run_sync(logins.close, request.state.person)
        return logins.give(RedirectResponse(LOGIN, 303), None)

    async def login_page(_: Request) -> Response:
        return _login_page(console, 200, HOME, "")

    app.add_api_route(LOGIN, login_page, methods=["GET"], response_model=None)
    app.add_api_route(LOGIN, log_in, methods=["POST"], response_model=None)
    app.add_api_route(LOGOUT, log_out, methods=["POST"], response_model=None)


def _within(address: str) -> str:
    """Return an address of a page of ours, HOME for any other."""
    ours = address == HOME or address.startswith((f"{HOME}/", f"{HOME}?"))
    return address if ours and "\\" not in address and address.isprintable() else HOME


def _login_page(console: Console, status: int, onward: str, what: str) -> HTMLResponse:
    return HTMLResponse(console.render("login.html", next=onward, what=what), status)


def _told(
    console: Console,
    status: int,
    what: str,
    *,
    where: str = "",
    remedy: str = "",
    scope: Scope | None = None,
    person: Person | None = None,
) -> Response:
    if status == 401 and scope is not None:
        onward = _within(_address(scope)) if scope["method"] == "GET" else HOME
        return _login_page(console, 401, onward, what)
    return HTMLResponse(
        console.render(
            "problem.html", person=person, status=status, what=what, where=where, remedy=remedy
        ),
        status,
    )


def _tell_errors(app: FastAPI, console: Console) -> None:
    def person_of(request: Request) -> Person | None:
        return getattr(request.state, "person", None)

    async def known(request: Request, error: Exception) -> Response:
        assert isinstance(error, BillingError)
        status = next((found for kind, found in _STATUS if isinstance(error, kind)), 400)
        return _told(
            console,
            status,
            error.what,
            where=error.where or "",
            remedy=error.remedy or "",
            person=person_of(request),
        )

    async def of_database(request: Request, error: Exception) -> Response:
        logger.warning("a request failed: %s", error)
        away = not isinstance(error, DBAPIError) or error.connection_invalidated
        what = "the database doesn't answer" if away else "the database refused this"
        return _told(console, 503 if away else 500, what, person=person_of(request))

    async def by_framework(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        what = {404: "there is no such page", 405: "this isn't done here that way"}
        words = what.get(error.status_code, str(error.detail))
        return _told(console, error.status_code, words, person=person_of(request))

    async def unexpected(request: Request, error: Exception) -> Response:
        logger.error("a request failed: %s", request.url.path, exc_info=error)
        what = "this failed; the log has why, under the id of the request"
        return _told(console, 500, what, person=person_of(request))

    app.add_exception_handler(BillingError, known)
    app.add_exception_handler(SQLAlchemyError, of_database)
    app.add_exception_handler(HTTPException, by_framework)
    app.add_exception_handler(Exception, unexpected)
