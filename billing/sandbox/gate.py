"""The way every /v1 request goes: key check, faults, idempotency, then one transaction."""

from dataclasses import dataclass

from billing.sandbox import faults, idempotency
from billing.sandbox.account import SandboxAccount
from billing.sandbox.delivery import DELIVERIES, cut
from billing.sandbox.errors import SERVER_ERROR, ApiError, Reply
from billing.sandbox.expand import check_expand, expand
from billing.sandbox.faults import Faults, InjectedFault
from billing.sandbox.form import Pairs, decode_pairs, nest
from billing.sandbox.http import HttpAnswer, HttpRequest, json_answer
from billing.sandbox.ids import new_request_id
from billing.sandbox.resources import KINDS, ROUTES
from billing.sandbox.resources.events import API_VERSION
from billing.sandbox.routing import Route, Router
from billing.sandbox.stats import Stats

_GARBAGE = b'<html><body>upstream answered {"id": "pi_'
# Stripe says "false" where a repetition would only be replayed.
_RETRY_ADVICE = {400: "false", 401: "false", 402: "false", 404: "false", 409: "true", 500: "false"}


@dataclass(frozen=True, slots=True)
class _Job:
    """A request with its route found."""

    request: HttpRequest
    request_id: str
    route: Route
    path: tuple[str, ...]
    pairs: Pairs
    key: str | None

    @property
    def fingerprint(self) -> bytes:
        return idempotency.fingerprint(self.request.method, self.request.path, self.pairs)


class Gate:
    """Answer /v1 requests. Safe to call from any number of threads."""

    def __init__(self, account: SandboxAccount, faults: Faults, stats: Stats) -> None:
        self._account = account
        self._store = account.store
        self._clock = account.clock
        self._faults = faults
        self._stats = stats
        self._router = Router(ROUTES)
        self._in_flight = idempotency.KeyInFlight()

    def answer(self, request: HttpRequest) -> HttpAnswer:
        """Return the answer and how it is to be delivered."""
        request_id = new_request_id()
        name = f"{request.method} {request.path}"
        fault = self._take(faults.BEFORE, request)
        if fault is not None:
            answer = _refusal(fault, request)
        else:
            try:
                route, path = self._route(request)
                name = f"{route.method} {route.path}"
                answer = self._serve(_job(request, request_id, route, path))
            except ApiError as error:
                answer = json_answer(error.reply)
            _spoil(answer, self._take(faults.AFTER, request))
        self._stats.count(name, answer)
        _add_headers(answer, request, request_id)
        return answer

    def _take(self, kinds: frozenset[str], request: HttpRequest) -> InjectedFault | None:
        return self._faults.take(kinds, request.method, request.path)

    def _route(self, request: HttpRequest) -> tuple[Route, tuple[str, ...]]:
        _check_api_key(request.headers.get("authorization", ""))
        return self._router.find(request.method, request.path)

    def _serve(self, job: _Job) -> HttpAnswer:
        self._account.catch_up()
        if job.key is None:
            return self._run(job)
        idempotency.check_length(job.key)
        with self._in_flight.hold(job.key):
            with self._store.reading():
                now = self._clock.now()
                saved = idempotency.saved_answer(self._store, job.key, job.fingerprint, now)
            return saved or self._run(job)

    def _run(self, job: _Job) -> HttpAnswer:
        params = job.route.params.read(nest(job.pairs))
        check_expand(params.get("expand", ()), job.route, KINDS)
        slow = self._take(faults.SLOW, job.request)
        if slow is not None:
            slow.delay()
        if job.route.method == "GET":
            with self._store.reading():
                return json_answer(self._execute(job, params))
        return self._write(job, params)

    def _write(self, job: _Job, params: dict[str, object]) -> HttpAnswer:
        broken = self._take(faults.COMMITTED_500, job.request)
        try:
            with self._store.transaction():
                reply = self._execute(job, params)
                answer = json_answer(SERVER_ERROR if broken else reply)
                self._remember(job, answer)
        except ApiError as error:
            # The endpoint refused: its writes are rolled back, its answer is kept.
            answer = json_answer(SERVER_ERROR if broken else error.reply)
            with self._store.transaction():
                self._remember(job, answer)
        return answer

    def _remember(self, job: _Job, answer: HttpAnswer) -> None:
        if job.key is not None:
            now = self._clock.now()
            print_ = job.fingerprint
            idempotency.remember(self._store, job.key, print_, now, answer, job.request_id)

    def _execute(self, job: _Job, params: dict[str, object]) -> Reply:
        call = self._account.call(
            path=job.path,
            params=params,
            request_id=job.request_id,
            idempotency_key=job.key,
        )
        reply = job.route.handler(call)
        wanted = call.params.get("expand")
        if wanted and reply.status == 200:
            expand(call, reply.body, wanted)
        return reply


def _job(request: HttpRequest, request_id: str, route: Route, path: tuple[str, ...]) -> _Job:
    writes = request.method == "POST"
    pairs = decode_pairs(request.body if writes else request.query)
    key = request.headers.get("idempotency-key") if writes else None
    return _Job(request, request_id, route, path, pairs, key or None)


def _check_api_key(header: str) -> None:
    scheme, _, key = header.partition(" ")
    if not key:
        raise ApiError(401, "You did not provide an API key (Authorization: Bearer ...).")
    if scheme != "Bearer" or not key.startswith("sk_test_"):
        raise ApiError(401, "Invalid API Key provided: the sandbox takes sk_test_ keys only.")


def _refusal(fault: InjectedFault, request: HttpRequest) -> HttpAnswer:
    if fault.kind in DELIVERIES:
        return cut(HttpAnswer(500, b""), fault)
    if fault.kind == "error_500_uncommitted":
        answer = json_answer(SERVER_ERROR)
        answer.headers["Stripe-Should-Retry"] = "true"
        return answer
    if fault.kind == "conflict_409":
        return json_answer(idempotency.in_use(request.headers.get("idempotency-key", "")).reply)
    if fault.kind == "error_401":
        return json_answer(ApiError(401, "Invalid API Key provided.").reply)
    return json_answer(
        ApiError(429, "Request rate limit exceeded. Try again later.", code="rate_limit").reply
    )


def _spoil(answer: HttpAnswer, fault: InjectedFault | None) -> None:
    if fault is None:
        return
    if fault.kind == "garbage_200":
        answer.status, answer.body = 200, _GARBAGE
    else:
        cut(answer, fault)


def _add_headers(answer: HttpAnswer, request: HttpRequest, request_id: str) -> None:
    headers = answer.headers
    headers["Request-Id"] = request_id
    headers["Stripe-Version"] = request.headers.get("stripe-version", API_VERSION)
    key = request.headers.get("idempotency-key")
    if key:
        headers["Idempotency-Key"] = key
        headers.setdefault("Original-Request", request_id)
    if answer.status in _RETRY_ADVICE:
        headers.setdefault("Stripe-Should-Retry", _RETRY_ADVICE[answer.status])
