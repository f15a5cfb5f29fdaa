"""The provider's door: POST /v1/webhooks/stripe.

What comes in is believed for its signature alone, so the body is read as it came and parsed by
nobody before that. The event is committed before the 200: what was acknowledged can't be lost,
and what can't be kept is answered 503 and delivered again. Nothing is handled here.

A refusal says no more than its status, which is all that the provider's dashboard shows; the log
and the counters have the reason.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from billing.errors import BadInput, first_line
from billing.flows.webhooks import inbox as flow
from billing.gateway import ProviderEvent
from billing.gateway.stripe.envelope import LONGEST_DELIVERY, WrongDelivery, check_envelope
from billing.gateway.stripe.signatures import SignatureRefused, verify
from workers.runtime.metrics import ProcessMetrics
from workers.runtime.runtime import Runtime

logger = logging.getLogger(__name__)

PATH: Final = "/v1/webhooks/stripe"
THREADS: Final = 4
_RETRY_SECONDS: Final = "5"

router = APIRouter()


@dataclass(frozen=True)
class Intake:
    """Takes deliveries in, one at a time; threads share it. `count` is told of refusals."""

    engine: Engine
    wall: Callable[[], datetime]
    secrets: Sequence[str]
    tolerance: timedelta
    live: bool
    received: Callable[[str, str], None]
    refused: Callable[[str], None]
    # Threads of their own: events are kept while charges wait for the provider in all others.
    turns: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(THREADS))

    def __post_init__(self) -> None:
        if not self.secrets or not all(secret.strip() for secret in self.secrets):
            raise BadInput(
                "webhooks can't be received without their signing secret: anybody could send them",
                where="webhooks.secrets",
                remedy="set BILLING__WEBHOOKS__SECRETS, or BILLING__WEBHOOKS__SECRETS_FILE,"
                " to the endpoint's whsec_...",
            )

    def take(self, body: bytes, header: str) -> ProviderEvent:
        """Keep a delivery and return its event. Raises: SignatureRefused, WrongDelivery."""
        wall = self.wall()
        event = verify(body, header, self.secrets, wall=wall, tolerance=self.tolerance)
        check_envelope(body, live=self.live)
        for new in flow.receive(self.engine, [event], source="webhook", wall=wall):
            self.received(new.type, "webhook")
        return event


def intake_of(runtime: Runtime, metrics: ProcessMetrics) -> Intake:
    """Return the intake these settings ask for. Raises: BadInput without a secret."""
    settings = runtime.settings
    return Intake(
        engine=runtime.engine,
        wall=runtime.clock.wall,
        secrets=[secret.get_secret_value() for secret in settings.webhooks.secrets],
        tolerance=settings.webhooks.tolerance,
        live=settings.mode == "live",
        received=metrics.webhook_received,
        refused=metrics.webhook_refused,
    )


def install(app: FastAPI, runtime: Runtime, metrics: ProcessMetrics) -> None:
    """Open the door, if there is a secret; without one, deliveries are answered 503."""
    if not runtime.settings.webhooks.secrets:
        logger.info("no webhook secret is set: events are read from the provider's list alone")
        return
    app.state.webhooks = intake_of(runtime, metrics)


@router.post(PATH, include_in_schema=False)
async def stripe(request: Request) -> JSONResponse:
    """Take a delivery in."""
    intake: Intake | None = getattr(request.app.state, "webhooks", None)
    if intake is None:
        logger.error("a webhook was delivered, but no secret is set (webhooks.secrets)")
        return _answer(503, "unavailable")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        return _refuse(intake, 415, "not_json", "its content type is no JSON")
    body = await _body(request)
    if body is None:
        return _refuse(intake, 413, "too_large", f"it has more than {LONGEST_DELIVERY} bytes")
    header = request.headers.get("stripe-signature")
    if header is None:
        return _refuse(intake, 400, "missing", "it is not signed")
    return await to_thread.run_sync(_take, intake, body, header, limiter=intake.turns)


async def _body(request: Request) -> bytes | None:
    """Return the body as it came, or None as soon as it is too large."""
    declared = request.headers.get("content-length", "0")
    if not declared.isdigit() or int(declared) > LONGEST_DELIVERY:
        return None
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST_DELIVERY:
            return None
    return bytes(body)


def _take(intake: Intake, body: bytes, header: str) -> JSONResponse:
    try:
        event = intake.take(body, header)
    except (SignatureRefused, WrongDelivery) as error:
        return _refuse(intake, 400, error.reason, error.what)
    except SQLAlchemyError as error:
        why = first_line(error)
        logger.error("a delivery could not be kept, the provider will send it again: %s", why)
        return _answer(503, "unavailable")
    logger.debug("received %s %s", event.type, event.id)
    return _answer(200, None)


def _refuse(intake: Intake, status: int, reason: str, what: str) -> JSONResponse:
    intake.refused(reason)
    logger.warning("a delivery was refused (%s): %s", reason, what)
    return _answer(status, "refused")


def _answer(status: int, error: str | None) -> JSONResponse:
    body = {"received": True} if error is None else {"error": error}
    headers = {"retry-after": _RETRY_SECONDS} if status == 503 else None
    return JSONResponse(body, status, headers)
