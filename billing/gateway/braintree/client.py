"""Requests to Braintree: the SDK's encoding and errors over our own transport.

The SDK authenticates, encodes, parses the XML and names the errors; its typed objects are passed
over, because they turn amounts into other numbers and raise on what is missing. Every request goes
through `_send`, which takes a token from the bucket, holds the deadline and turns every error into
a `RequestFault`. Nothing is sent twice, nothing here logs, and no message contains a raw body or a
key.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar
from urllib.parse import quote

import braintree

from billing import tracing
from billing.errors import BadInput
from billing.gateway.braintree.faults import (
    RequestFault,
    RequestFaulted,
    as_error,
    fault_of,
    garbage,
    refusal,
    unreadable,
)
from billing.gateway.braintree.fields import Node, several, texts
from billing.gateway.braintree.strategy import Strategy, Timeouts, environment_at
from billing.gateway.kinds import FaultKind
from billing.gateway.provider_kind import Access
from billing.gateway.transport import Deadline
from billing.gateway.untrusted import mapping

QUEUE_SECONDS: Final = 5.0  # the longest wait for a token; the rest of the deadline is the call's
LOOK_BACK: Final = timedelta(hours=1)  # how far our clock may be ahead of Braintree's
PAGE: Final = 50
LONGEST_SEARCHES: Final[dict[str, int]] = {"transactions": 50_000, "customers": 10_000}
"""How much a search finds at most: what else there is, it doesn't say."""
ACCOUNT_OF: Final = "merchant_account_"
"""What a credential begins with that names the merchant account of a currency."""

Read = TypeVar("Read")


@dataclass(frozen=True, slots=True)
class ParsedAnswer:
    """An object as the SDK parsed it, under the name that it came with."""

    name: str
    data: Node
    request_id: str | None
    answered_at: datetime | None


class BraintreeClient:
    """Sends requests to one account, each once. Threads share one; make it after forking.

    The deadline of the access bounds each operation, all its requests and the wait for a token
    included; it has to be shorter than the lease its caller holds. `observe` is told each
    request's operation, seconds, and kind of failure if it failed (a decline is an answer).
    """

    def __init__(self, access: Access) -> None:
        given = access.credentials
        merchant, public, private = (
            given.get(name, "") for name in ("merchant_id", "public_key", "private_key")
        )
        if not (merchant and public and private):
            raise BadInput(
                "Braintree's keys are not complete",
                remedy="set merchant_id, public_key and private_key",
            )
        environment = environment_at(given.get("environment") or "sandbox", access.api_base)
        timeouts = Timeouts(
            access.connect_timeout.total_seconds(), access.read_timeout.total_seconds()
        )
        self._strategy = Strategy(environment, timeouts)
        self._config = braintree.Configuration(
            environment, merchant, public, private, http_strategy=lambda *_: self._strategy
        )
        self._http = self._config.http()
        self._root = self._config.base_merchant_path()
        self._seconds = access.deadline.total_seconds()
        self._bucket = access.bucket
        self._observe = access.observe
        self._merchant_accounts = {
            name.removeprefix(ACCOUNT_OF): value
            for name, value in given.items()
            if name.startswith(ACCOUNT_OF) and value
        }
        self._fees_from_disbursement = given.get("fees_from_disbursement") == "true"

    def close(self) -> None:
        """Close the idle connections; the gateway can still be used."""
        self._strategy.close()

    def _answers(self) -> None:
        """Prove that Braintree answers and that the keys may read transactions."""
        criteria = {"order_id": {"is": "perennial-check"}}
        self._ask("check", "post", "/transactions/advanced_search_ids", {"search": criteria})

    def _find(
        self, path: str, identifier: str, read: Callable[[str, Node], Read | None]
    ) -> Read | None:
        """Return one object as it is now, or None when there is none of that id.

        `path` ends where the id begins. Raises: Unavailable, BadInput.
        """
        try:
            answer = self._retrieve(path, identifier, Deadline(self._seconds))
        except RequestFaulted as failed:
            if failed.fault.missing:
                return None
            raise as_error(failed.fault) from None
        shown = answer.data.get("id", answer.data.get("token"))
        if shown != identifier:
            raise unreadable(identifier, "it is about something else", answer.request_id)
        try:
            return read(answer.name, answer.data)
        except ValueError as error:
            raise unreadable(identifier, str(error), answer.request_id) from error

    def _retrieve(self, path: str, identifier: str, deadline: Deadline) -> ParsedAnswer:
        return self._send("retrieve", "get", f"{path}/{segment(identifier)}", None, deadline)

    def _search(
        self, operation: str, kind: str, criteria: Node, deadline: Deadline | None
    ) -> "Found":
        """Search for objects, newest first, to be read page by page. Raises: RequestFaulted.

        Without a deadline each request has one of its own.
        """
        path = f"/{kind}/advanced_search_ids"
        within = deadline or Deadline(self._seconds)
        answer = self._send(operation, "post", path, {"search": dict(criteria)}, within)
        if answer.name != "search_results" or not isinstance(answer.data.get("ids"), list):
            raise RequestFaulted(garbage("the search took too long there", answer.request_id))
        ids = texts(answer.data["ids"])
        return Found(self, operation, kind, ids, deadline, answer.answered_at)

    def _by_ids(
        self, operation: str, kind: str, ids: Sequence[str], deadline: Deadline | None
    ) -> Sequence[Node]:
        """Return the objects of up to a page of ids. Raises: RequestFaulted."""
        root, name = _NAMES[kind]
        answer = self._send(
            operation,
            "post",
            f"/{kind}/advanced_search",
            {"search": {"ids": list(ids)}},
            deadline or Deadline(self._seconds),
        )
        if answer.name != root:
            raise RequestFaulted(garbage("the search took too long there", answer.request_id))
        found = several(answer.data.get(name))
        order = {each: n for n, each in enumerate(ids)}
        if {each.get("id") for each in found} - set(order):
            raise RequestFaulted(
                garbage("a search found what it wasn't asked for", answer.request_id)
            )
        return sorted(found, key=lambda each: order[str(each.get("id"))])

    def _ask(self, operation: str, method: str, path: str, params: Node | None) -> ParsedAnswer:
        """Send a request that collects nothing. Raises: Unavailable, BadInput."""
        try:
            return self._send(operation, method, path, params, Deadline(self._seconds))
        except RequestFaulted as failed:
            raise as_error(failed.fault) from None

    def _send(
        self, operation: str, method: str, path: str, params: Node | None, deadline: Deadline
    ) -> ParsedAnswer:
        """Send one request, once; a decline is an answer. Raises: RequestFaulted."""
        call = getattr(self._http, method)
        sent = (self._root + path,) if params is None else (self._root + path, params)
        return self._sent(operation, deadline, lambda: self._answer(call(*sent)))

    def _sent(self, operation: str, deadline: Deadline, call: Callable[[], Read]) -> Read:
        """Make one request, under the rate's limit, with its span. Raises: RequestFaulted."""
        bucket = self._bucket
        if bucket is not None and not bucket.acquire(min(QUEUE_SECONDS, deadline.remaining())):
            raise RequestFaulted(RequestFault(FaultKind.NOT_SENT, "held back by the rate limit"))
        with tracing.span("provider request", operation=operation) as span:
            try:
                return self._observed(operation, deadline, call)
            except RequestFaulted as failed:
                span.set(failure=failed.fault.kind, provider_request=failed.fault.request_id)
                raise

    def _observed(self, operation: str, deadline: Deadline, call: Callable[[], Read]) -> Read:
        started = time.perf_counter()
        failure: FaultKind | None = None
        try:
            return self._exchange(deadline, call)
        except RequestFaulted as failed:
            failure = failed.fault.kind
            if failure is FaultKind.RATE_LIMIT and self._bucket is not None:
                self._bucket.slow_down(failed.fault.retry_after)
            raise
        finally:
            if self._observe is not None:
                label = None if failure in (None, FaultKind.CARD) else failure.value
                self._observe(operation, time.perf_counter() - started, label)

    def _exchange(self, deadline: Deadline, call: Callable[[], Read]) -> Read:
        strategy = self._strategy
        strategy.begin(deadline)
        try:
            return call()
        except RequestFaulted:
            raise
        except Exception as error:  # the SDK raises anything on malformed answers
            fault = fault_of(error, strategy.status, strategy.headers, self._request_id)
            raise RequestFaulted(fault) from error

    def _answer(self, parsed: Any) -> ParsedAnswer:
        """Return what an answer holds. Raises: RequestFaulted."""
        request_id = self._request_id
        name, data = next(iter(mapping(parsed).items()), ("", {}))
        if not name or not isinstance(data, Mapping):
            raise RequestFaulted(garbage("expected an object", request_id))
        if name == "api_error_response":
            transaction = data.get("transaction")
            if not isinstance(transaction, Mapping):
                raise RequestFaulted(refusal(data, request_id))
            name, data = "transaction", transaction
        return ParsedAnswer(name, data, request_id, self._strategy.answered_at)

    @property
    def _request_id(self) -> str | None:
        return self._strategy.headers.get("x-request-id")


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found: the ids, and their objects on request."""

    client: BraintreeClient
    operation: str
    kind: str
    ids: Sequence[str]
    deadline: Deadline | None
    answered_at: datetime | None

    @property
    def is_full(self) -> bool:
        """Whether there may be more than a search finds."""
        return len(self.ids) >= LONGEST_SEARCHES[self.kind]

    def pages(self) -> Iterator[Sequence[Node]]:
        """Yield all objects, a page at a time. Raises: RequestFaulted."""
        if self.is_full:
            raise RequestFaulted(
                RequestFault(FaultKind.SERVER, f"a search found {len(self.ids)}, its utmost")
            )
        for start in range(0, len(self.ids), PAGE):
            some = self.ids[start : start + PAGE]
            page = self.client._by_ids(self.operation, self.kind, some, self.deadline)
            if len(page) < len(some):
                raise RequestFaulted(garbage("a search lacks some of what it found", None))
            yield page

    def all(self) -> list[Node]:
        """Return all objects. Raises: RequestFaulted."""
        return [each for page in self.pages() for each in page]


_NAMES: Final[Mapping[str, tuple[str, str]]] = {
    "transactions": ("credit_card_transactions", "transaction"),
    "customers": ("customers", "customer"),
}


def created_in(since: datetime | None, until: datetime | None) -> dict[str, object]:
    """Return the criterion for what was created in [since, until).

    Braintree counts whole seconds, and both ends are included: rounding makes neighbouring windows
    tile.
    """
    wanted = {}
    if since is not None:
        wanted["min"] = _whole(since)
    if until is not None:
        wanted["max"] = _whole(until) - timedelta(seconds=1)
    return {"created_at": wanted} if wanted else {}


def _whole(at: datetime) -> datetime:
    """Return the first whole second from an instant on, in UTC."""
    exact = at.astimezone(UTC)
    rounded = exact.replace(microsecond=0)
    return rounded if rounded == exact else rounded + timedelta(seconds=1)


def segment(identifier: str) -> str:
    """Return an id as a part of a path. Raises: BadInput."""
    if not identifier.strip(". "):
        raise BadInput("an id of the provider is empty", remedy="give the id")
    return quote(identifier, safe="")
