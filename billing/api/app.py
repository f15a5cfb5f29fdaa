"""The HTTP application: routes, problems, and the guard that every request passes."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any, Final

from anyio import to_thread
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from billing.api import problems, webhooks
from billing.api.middleware import RequestGuard, tell
from billing.api.problems import Problem, Refused, problem
from billing.api.routes import (
    audit,
    changes,
    credit,
    credit_notes,
    customers,
    interface,
    invoices,
    payments,
    plans,
    subscriptions,
    usage,
)
from billing.api.routes.common import Services, known_query
from billing.api.security import Guard
from billing.api.wording import what_is_wrong
from billing.errors import BillingError
from billing.workers.runtime.metrics import ProcessMetrics
from billing.workers.runtime.runtime import Runtime

logger = logging.getLogger(__name__)

DESCRIPTION: Final = """\
Amounts are integers of minor units. Every POST but that of usage needs an `Idempotency-Key`: the
same key with the same request gives the same answer and does nothing twice. Errors are RFC 9457
problem details.
"""
ROUTERS: Final = (
    payments.router,
    customers.router,
    credit.router,
    subscriptions.router,
    changes.router,
    usage.router,
    credit_notes.router,
    invoices.router,
    plans.router,
    audit.router,
    interface.router,
    webhooks.router,
)


def create_app(
    runtime: Runtime, metrics: ProcessMetrics, services: Services, guard: Guard
) -> FastAPI:
    """Make the application; handlers work with `app.state.services`."""
    settings = runtime.settings.api

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        to_thread.current_default_thread_limiter().total_tokens = settings.threads
        yield

    app = FastAPI(
        title="Perennial",
        description=DESCRIPTION,
        version=version("perennial-billing"),
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.services = services
    for router in ROUTERS:
        app.include_router(router, dependencies=[Depends(known_query)])
    app.include_router(webhooks.questions)
    webhooks.install(app, runtime, metrics)
    _tell_problems(app, services)
    app.add_middleware(
        RequestGuard,
        guard=guard,
        metrics=services.metrics,
        body_bytes_max=settings.body_bytes_max,
        arrival_seconds=settings.arrival_timeout.total_seconds(),
    )
    return app


def _tell_problems(app: FastAPI, services: Services) -> None:
    """Answer every error with a problem; the request guard logs unexpected ones."""

    def told(found: Problem) -> JSONResponse:
        services.metrics.refused(found.kind.code)
        return tell(found)

    async def known(_: Request, error: Exception) -> JSONResponse:
        found = problems.of_error(error)
        if found is None:
            raise error
        if not isinstance(error, Refused | BillingError) or found.kind.status >= 500:
            logger.warning("a request failed: %s", error)
        return told(found)

    async def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return told(_invalid(error.errors()))

    async def by_framework(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        headers = _allowed(request) if error.status_code == 405 else error.headers
        return told(problems.of_status(error.status_code, str(error.detail), headers))

    for kind in (Refused, BillingError, SQLAlchemyError):
        app.add_exception_handler(kind, known)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, by_framework)


def _allowed(request: Request) -> dict[str, str]:
    """Name the methods of every route of this path; the framework names those of one."""
    found: set[str] = set()
    for route in (route for router in ROUTERS for route in router.routes):
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            found |= route.methods or set()
    return {"allow": ", ".join(sorted(found))}


def _invalid(errors: Any) -> Problem:
    """Say what is wrong with a request, without repeating its content."""
    found = [
        {"where": ".".join(str(part) for part in error["loc"]), "what": what_is_wrong(error)}
        for error in errors
    ]
    kinds = {(error["type"], str(error["loc"][-1]).lower()) for error in errors}
    if ("missing", "idempotency-key") in kinds:
        return problem(
            "idempotency_key_missing",
            "every POST needs the header Idempotency-Key",
            remedy="send a UUID of your own, the same one for every try of one request",
        )
    if any(kind == "json_invalid" for kind, _ in kinds):
        return problem("malformed_request", "the body is no JSON", where="body")
    return problem("invalid_request", f"{found[0]['where']}: {found[0]['what']}", errors=found)
