"""The endpoint for providers' webhooks: POST /v1/webhooks/ and the name of a configured account.

Only the signature makes a delivery genuine, so the endpoint reads the body unchanged and parses
nothing before the check. It commits the event before it answers 200, so an acknowledged event can't
be lost; when it can't commit, it answers 503 and the provider delivers again. The endpoint handles
no event. A provider that asks whether the endpoint is ours before it delivers there is answered by
GET. A genuine event that isn't for this engine is answered with 200 and not kept. A refusal
has only a status, which is all that the provider's dashboard shows; the log and the counters have
the reason.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from billing.errors import BadInput, first_line
from billing.flows.webhooks import inbox as flow
from billing.gateway import EventKind, ProviderEvent
from billing.gateway.errors import SignatureRefused, WrongDelivery
from billing.gateway.provider_kind import ProviderKind
from billing.gateway.registry import KINDS
from billing.workers.runtime.metrics import ProcessMetrics
from billing.workers.runtime.runtime import Runtime

logger = logging.getLogger(__name__)

PATH: Final = "/v1/webhooks/{provider}"
LONGEST_DELIVERY: Final = 1_048_576
"""The largest delivery that is read, in bytes; a provider's are far smaller."""
THREADS: Final = 4
_RETRY_SECONDS: Final = "5"

router = APIRouter()
questions = APIRouter()
"""What providers ask the endpoint, with parameters of their own in the query."""


@dataclass(frozen=True)
class Intake:
    """Takes the deliveries of one account in; threads share it.

    `received` and `refused` count.
    """

    engine: Engine
    provider: str
    kind: ProviderKind
    wall: Callable[[], datetime]
    secrets: Sequence[str]
    tolerance: timedelta
    live: bool
    received: Callable[[str, EventKind, str], None]
    refused: Callable[[str, str], None]
    # Threads of their own, so that events are kept while charges wait for the provider.
    turns: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(THREADS))

    def __post_init__(self) -> None:
        if not self.secrets or not all(secret.strip() for secret in self.secrets):
            raise BadInput(
                "webhooks can't be received without their signing secret: anybody could send them",
                where="providers.NAME.webhook_secrets",
                remedy="set BILLING__PROVIDERS__NAME__WEBHOOK_SECRETS, or the same with _FILE,"
                " to the signing secret of the account's endpoint",
            )

    def check(self, headers: Mapping[str, str]) -> None:
        """Check the headers of a delivery, before its body is read. Raises: SignatureRefused."""
        self.kind.check_headers(headers, wall=self.wall(), tolerance=self.tolerance)

    def answer(self, query: Mapping[str, str]) -> str | None:
        """Return the answer to a provider's question about the endpoint; None where it has none."""
        answers = self.kind.answer_challenge
        return None if answers is None else answers(query, self.secrets)

    def take(self, body: bytes, headers: Mapping[str, str]) -> ProviderEvent:
        """Keep a delivery and return its event. Raises: SignatureRefused, WrongDelivery."""
        wall = self.wall()
        event = self.kind.read_delivery(
            body, headers, self.secrets, wall=wall, tolerance=self.tolerance, live=self.live
        )
        for new in flow.receive(self.engine, self.provider, [event], source="webhook", wall=wall):
            self.received(self.provider, new.kind, "webhook")
        return event


def _intakes(runtime: Runtime, metrics: ProcessMetrics) -> Mapping[str, Intake]:
    """Return the intake of each account that has a secret, by the last part of its path.

    The default account is found by its kind too, unless another account is named so.
    """
    settings = runtime.settings
    intakes = {
        name: Intake(
            engine=runtime.engine,
            provider=name,
            kind=KINDS[account.kind],
            wall=runtime.clock.wall,
            secrets=settings.webhook_secrets(name),
            tolerance=settings.webhooks.tolerance,
            live=settings.mode == "live",
            received=metrics.webhook_received,
            refused=metrics.webhook_refused,
        )
        for name, account in settings.providers.items()
        if settings.webhook_secrets(name)
    }
    default = intakes.get(settings.default_provider)
    return intakes if default is None else {settings.provider().kind: default} | intakes


def install(app: FastAPI, runtime: Runtime, metrics: ProcessMetrics) -> None:
    """Set up the intake of each account with a secret; the endpoint answers 503 for others."""
    intakes = _intakes(runtime, metrics)
    for name in runtime.settings.providers:
        if name not in intakes:
            logger.info("%s has no webhook secret: its events are read from its list alone", name)
    app.state.webhooks = intakes


@router.post(PATH, include_in_schema=False)
async def delivery(request: Request, provider: str) -> JSONResponse:
    """Receive a delivery."""
    intakes: Mapping[str, Intake] = getattr(request.app.state, "webhooks", {})
    intake = intakes.get(provider)
    if intake is None:
        logger.error("a webhook was delivered, but no secret is set for its path")
        return _answer(503, "unavailable")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != intake.kind.delivery_type:
        return _refuse(intake, 415, "not_json", f"it is no {intake.kind.delivery_type}")
    try:
        intake.check(request.headers)
    except SignatureRefused as error:
        return _refuse(intake, 400, error.reason, error.what)
    body = await _body(request)
    if body is None:
        return _refuse(intake, 413, "too_large", f"it has more than {LONGEST_DELIVERY} bytes")
    return await to_thread.run_sync(_take, intake, body, request.headers, limiter=intake.turns)


@questions.get(PATH, include_in_schema=False)
async def challenge(request: Request, provider: str) -> Response:
    """Answer a provider that asks whether the endpoint is ours; nobody else has a question here."""
    intakes: Mapping[str, Intake] = getattr(request.app.state, "webhooks", {})
    intake = intakes.get(provider)
    answer = intake.answer(dict(request.query_params)) if intake is not None else None
    if answer is None:
        raise HTTPException(405)
    return PlainTextResponse(answer)


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


def _take(intake: Intake, body: bytes, headers: Mapping[str, str]) -> JSONResponse:
    try:
        event = intake.take(body, headers)
    except SignatureRefused as error:
        return _refuse(intake, 400, error.reason, error.what)
    except WrongDelivery as error:
        return _pass_over(intake, error)
    except SQLAlchemyError as error:
        why = first_line(error)
        logger.error("a delivery could not be kept, the provider will send it again: %s", why)
        return _answer(503, "unavailable")
    logger.debug("received %s %s", event.type, event.id)
    return _answer(200, None)


def _refuse(intake: Intake, status: int, reason: str, what: str) -> JSONResponse:
    intake.refused(intake.provider, reason)
    logger.warning("a delivery was refused (%s): %s", reason, what)
    return _answer(status, "refused")


def _pass_over(intake: Intake, wrong: WrongDelivery) -> JSONResponse:
    """Answer a genuine event that isn't for this engine.

    A refusal would make the provider deliver it again for days, and then switch the endpoint off.
    """
    intake.refused(intake.provider, wrong.reason)
    logger.warning("a delivery was passed over (%s): %s", wrong.reason, wrong.what)
    return _answer(200, None)


def _answer(status: int, error: str | None) -> JSONResponse:
    body = {"received": True} if error is None else {"error": error}
    headers = {"retry-after": _RETRY_SECONDS} if status == 503 else None
    return JSONResponse(body, status, headers)
