"""Requests to Stripe: the SDK's encoding and errors over our own transport.

The SDK authenticates, encodes and names the errors; it neither retries nor parses objects for us
(`raw_request` answers with plain JSON, at a third of the cost of the typed services). Every request
goes through `_send`, which takes a token from the bucket, holds the deadline and turns every error
into a `Fault`. Nothing here logs, and no message contains a raw body or a key.
"""

import json
import logging
import math
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar, cast
from urllib.parse import quote

import stripe

from billing import tracing
from billing.errors import BadInput, Unavailable
from billing.gateway.kinds import FaultKind
from billing.gateway.objects import Unreadable
from billing.gateway.outcomes import Rejected
from billing.gateway.pages import read_page, unreadable_object
from billing.gateway.rate import TokenBucket
from billing.gateway.stripe.classify import Fault
from billing.gateway.stripe.faults import Faulted, as_error, fault_of, garbage, where_of
from billing.gateway.stripe.fields import Json, reference
from billing.gateway.transport import Deadline, Transport, TransportError
from billing.gateway.untrusted import mapping, text

PAGE: Final = 100
QUEUE_SECONDS: Final = 5.0  # the longest wait for a token; the rest of the deadline is the call's
LOOK_BACK: Final = timedelta(hours=1)  # how far our clock may be ahead of Stripe's
LONGEST_KEY: Final = 255
UNUSABLE_KEY: Final = Rejected(
    "unusable_idempotency_key", f"a key is 1 to {LONGEST_KEY} printable characters"
)

Observe = Callable[[str, float, str | None], None]
Read = TypeVar("Read")


@dataclass(frozen=True, slots=True)
class Answer:
    """A JSON object as the SDK read it, and the text it was read from."""

    data: Json
    body: str
    request_id: str | None

    def exact(self) -> Json:
        """Return the object with every fraction as the text it was sent as, never a float."""
        return cast(Json, json.loads(self.body, parse_float=str))


class Client:
    """Sends requests to one account, each once. Threads share one; make it after forking.

    `deadline` bounds each operation in seconds, all its requests and the wait for a token
    included; it has to be shorter than the lease its caller holds. `observe` is told each
    request's operation, seconds, and kind of failure if it failed (a decline is an answer).
    """

    def __init__(
        self,
        api_key: str,
        *,
        api_base: str | None = None,
        connect_timeout: float = 3.05,
        read_timeout: float = 30.0,
        deadline: float = 40.0,
        bucket: TokenBucket | None = None,
        observe: Observe | None = None,
    ) -> None:
        if not api_key:
            raise BadInput("there is no Stripe secret key", remedy="set api_key (sk_... or rk_...)")
        base = (api_base or stripe.DEFAULT_API_BASE).rstrip("/")
        transport = Transport(
            base,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            ca_certs=stripe.ca_bundle_path,
        )
        stripe.enable_telemetry = False
        logging.getLogger("stripe").setLevel(logging.WARNING)  # below that it logs bodies
        self._http = SdkTransport(transport)
        self._client = stripe.StripeClient(
            api_key,
            base_addresses={"api": base},
            http_client=self._http,
            max_network_retries=0,
        )
        self._seconds = deadline
        self._bucket = bucket
        self._observe = observe

    def close(self) -> None:
        """Close the idle connections; the gateway can still be used."""
        self._http.close()

    def _find(
        self,
        collection: str,
        identifier: str,
        read: Callable[[Json], Read],
        params: Json | None = None,
    ) -> Read | None:
        """Return one object as it is now, or None when there is none of that id.

        Raises: Unavailable, BadInput.
        """
        path = f"{collection}/{segment(identifier)}"
        try:
            answer = self._send("retrieve", "get", path, params or {}, Deadline(self._seconds))
        except Faulted as failed:
            if failed.fault.code == "resource_missing":
                return None
            raise as_error(failed.fault) from None
        if answer.data.get("id") != identifier:
            raise unreadable(identifier, "it is about something else", answer.request_id)
        try:
            return read(answer.exact())
        except ValueError as error:
            raise unreadable(identifier, str(error), answer.request_id) from error

    def _list(
        self, operation: str, path: str, params: Json, read: Callable[[Json], Read]
    ) -> Iterator[Sequence[Read]]:
        """Yield every page of a list, newest first, each with a deadline of its own.

        An object that can't be read stands in its page as `Unreadable` and stops nothing.
        Raises: Unavailable, BadInput.
        """
        try:
            for page in self._pages(operation, path, params, None, exact=True):
                yield read_page(page, read, _unreadable_object)
        except Faulted as failed:
            raise as_error(failed.fault) from None
        except ValueError as error:
            raise unreadable("a list", str(error), None) from error

    def _pages(
        self,
        operation: str,
        path: str,
        params: Json,
        deadline: Deadline | None,
        *,
        exact: bool = False,
    ) -> Iterator[Sequence[Json]]:
        """Yield every page of a list; ending without `Faulted` means it was complete.

        Without a deadline each page has one of its own. Raises: Faulted.
        """
        asked: dict[str, object] = {**params, "limit": PAGE}
        while True:
            within = deadline or Deadline(self._seconds)
            answer = self._send(operation, "get", path, asked, within)
            data = answer.exact() if exact else answer.data
            items, has_more = data.get("data"), data.get("has_more")
            if not isinstance(items, list) or not isinstance(has_more, bool):
                raise Faulted(garbage("expected a list", answer.request_id))
            page = [mapping(item) for item in items]
            if page:
                yield page
            if not has_more:
                return
            last = page[-1].get("id") if page else None
            if not isinstance(last, str) or last == asked.get("starting_after"):
                raise Faulted(garbage("a list without an end", answer.request_id))
            asked["starting_after"] = last

    def _ask(
        self, operation: str, method: str, path: str, params: Json, key: str | None = None
    ) -> Answer:
        """Send a request that collects nothing. Raises: Unavailable, BadInput."""
        try:
            return self._send(operation, method, path, params, Deadline(self._seconds), key=key)
        except Faulted as failed:
            raise as_error(failed.fault) from None  # the SDK's error quotes the body

    def _send(
        self,
        operation: str,
        method: str,
        path: str,
        params: Json,
        deadline: Deadline,
        *,
        key: str | None = None,
    ) -> Answer:
        """Send one request, once. Raises: Faulted."""
        bucket = self._bucket
        if bucket is not None and not bucket.acquire(min(QUEUE_SECONDS, deadline.remaining())):
            raise Faulted(Fault(FaultKind.NOT_SENT, "held back by the rate limit"))
        with tracing.span("provider request", operation=operation) as span:
            answer = self._answer(span, operation, method, path, params, deadline, key)
        if isinstance(answer, Faulted):
            raise answer
        return answer

    def _answer(self, span: tracing.OpenSpan, *asked: Any) -> Answer | Faulted:
        """Return an answer, a decline too. Raises: Faulted for every other error."""
        try:
            answer = self._observed(*asked)
        except Faulted as failed:
            span.set(failure=failed.fault.kind, provider_request=failed.fault.request_id)
            if failed.fault.kind is not FaultKind.CARD:
                raise
            return failed
        span.set(provider_request=answer.request_id)
        return answer

    def _observed(
        self,
        operation: str,
        method: str,
        path: str,
        params: Json,
        deadline: Deadline,
        key: str | None,
    ) -> Answer:
        bucket = self._bucket
        started = time.perf_counter()
        failure: FaultKind | None = None
        try:
            return self._exchange(method, path, params, deadline, key)
        except Faulted as failed:
            failure = failed.fault.kind
            if failure is FaultKind.RATE_LIMIT and bucket is not None:
                bucket.slow_down(failed.fault.retry_after)
            raise
        finally:
            if self._observe is not None:
                label = None if failure in (None, FaultKind.CARD) else failure.value
                self._observe(operation, time.perf_counter() - started, label)

    def _exchange(
        self, method: str, path: str, params: Json, deadline: Deadline, key: str | None
    ) -> Answer:
        self._http.begin(deadline)
        try:
            response = cast(
                stripe.StripeResponse,
                self._client.raw_request(method, path, **params, idempotency_key=key),
            )
        except stripe.StripeError as error:
            raise Faulted(fault_of(error, self._http.request_id)) from error
        except Exception as error:  # the SDK raises its own on malformed error bodies
            message = f"an answer the SDK can't read ({type(error).__name__})"
            raise Faulted(garbage(message, self._http.request_id)) from error
        if not isinstance(response.data, dict):
            raise Faulted(garbage("expected an object", self._http.request_id))
        return Answer(response.data, response.body, self._http.request_id)


class SdkTransport(stripe.HTTPClient):
    """Our transport as the SDK's HTTP client; each thread sets the deadline of its next request."""

    name = "urllib3"

    def __init__(self, transport: Transport) -> None:
        super().__init__()
        self._transport = transport
        self._local = threading.local()

    @property
    def request_id(self) -> str | None:
        """The request id of this thread's last answer, which not every SDK error carries."""
        return cast("str | None", self._local.request_id)

    def begin(self, deadline: Deadline) -> None:
        """Set the deadline of this thread's next request."""
        self._local.deadline = deadline
        self._local.request_id = None

    def request(  # type: ignore[override]
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        post_data: str | None = None,
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """Send the SDK's request. Raises: stripe.APIConnectionError."""
        try:
            answer = self._transport.send(method, url, headers, post_data, self._local.deadline)
        except TransportError as error:
            raise _no_answer(str(error)) from error
        self._local.request_id = reference(answer[2].get("request-id"))
        return answer

    def close(self) -> None:
        """Close the idle connections."""
        self._transport.close()


def _no_answer(message: str) -> stripe.APIConnectionError:
    return stripe.APIConnectionError(message)  # type: ignore[no-untyped-call]


def window(since: datetime | None, until: datetime | None) -> Json:
    """Return the parameters for what was created in [since, until)."""
    # Stripe counts whole seconds: rounding both ends up makes neighbouring windows tile.
    created = {}
    if since is not None:
        created["gte"] = math.ceil(since.timestamp())
    if until is not None:
        created["lt"] = math.ceil(until.timestamp())
    return {"created": created} if created else {}


def segment(identifier: str) -> str:
    """Return an id as a part of a path. Raises: BadInput."""
    if not identifier.strip(". "):
        raise BadInput("an id of the provider is empty", remedy="give the id, like pm_...")
    return quote(identifier, safe="")


def usable(idempotency_key: str) -> bool:
    """Say whether Stripe takes the key."""
    return _KEY.fullmatch(idempotency_key) is not None


def _unreadable_object(item: Json, error: Exception) -> Unreadable:
    amount, currency = item.get("amount"), text(item, "currency")
    return unreadable_object(
        reference(item),
        text(item, "object") or "object",
        error,
        f"{amount} {currency or ''}".strip() if type(amount) is int else None,
        json.dumps(item, sort_keys=True, default=str),
    )


def unreadable(identifier: str, problem: str, request_id: str | None) -> Unavailable:
    """Return the error for an answer that is complete, but of the wrong shape."""
    return Unavailable(
        f"Stripe's answer for {identifier[:80]} can't be read: {problem}",
        where=where_of(request_id),
        remedy="try again; if it stays, this version doesn't know such objects",
    )


_KEY: Final = re.compile(rf"[!-~]{{1,{LONGEST_KEY}}}")
