"""Every error that a caller can get: its code, its HTTP status, its gRPC status.

Over HTTP it is an RFC 9457 problem. A message never repeats the request's content, unless a flow
puts it there on purpose: card numbers are refused before anything is parsed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from grpc import StatusCode
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from billing.api.remedies import remedy_of
from billing.errors import BadInput, BillingError, Conflict, NotFound, SchemaUnknown, Unavailable
from billing.flows.fence import Recovering
from billing.flows.service.idempotency import KeyReused, RequestInFlight
from billing.gateway.errors import ProviderKeyRefused
from billing.pan import CardNumberRefused

CONTENT_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:perennial:problem:"


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """One kind of error. `title` is the same for every occurrence."""

    code: str
    status: int
    grpc: StatusCode
    title: str


KINDS: Final[Mapping[str, ProblemKind]] = {
    kind.code: kind
    for kind in (
        ProblemKind(
            "malformed_request", 400, StatusCode.INVALID_ARGUMENT, "The request can't be read",
        ),
        ProblemKind(
            "idempotency_key_missing", 400, StatusCode.INVALID_ARGUMENT,
            "The request needs an idempotency key",
        ),
        ProblemKind(
            "unauthenticated", 401, StatusCode.UNAUTHENTICATED, "The API key opens nothing",
        ),
        ProblemKind("payment_declined", 402, StatusCode.OK, "The payment was declined"),
        ProblemKind(
            "permission_denied", 403, StatusCode.PERMISSION_DENIED,
            "The API key lacks the scope",
        ),
        ProblemKind("not_found", 404, StatusCode.NOT_FOUND, "There is no such thing"),
        ProblemKind(
            "method_not_allowed", 405, StatusCode.UNIMPLEMENTED,
            "The method isn't allowed here",
        ),
        ProblemKind(
            "request_timeout", 408, StatusCode.DEADLINE_EXCEEDED,
            "The request took too long to arrive",
        ),
        ProblemKind("conflict", 409, StatusCode.FAILED_PRECONDITION, "The state forbids this"),
        ProblemKind("request_in_flight", 409, StatusCode.ABORTED, "The same request is in work"),
        ProblemKind(
            "body_too_large", 413, StatusCode.RESOURCE_EXHAUSTED, "The request is too large",
        ),
        ProblemKind(
            "unsupported_media_type", 415, StatusCode.INVALID_ARGUMENT, "The body has to be JSON"
        ),
        ProblemKind(
            "invalid_request", 422, StatusCode.INVALID_ARGUMENT, "The request can't be taken",
        ),
        ProblemKind(
            "card_number_refused", 422, StatusCode.INVALID_ARGUMENT,
            "Card numbers are never accepted",
        ),
        ProblemKind(
            "idempotency_key_reused", 422, StatusCode.ALREADY_EXISTS,
            "The idempotency key was used for another request",
        ),
        ProblemKind(
            "provider_refused", 422, StatusCode.FAILED_PRECONDITION,
            "The payment provider refused it",
        ),
        ProblemKind("rate_limited", 429, StatusCode.RESOURCE_EXHAUSTED, "Too many requests"),
        ProblemKind("internal_error", 500, StatusCode.INTERNAL, "A fault of this program"),
        ProblemKind("unavailable", 503, StatusCode.UNAVAILABLE, "Try again in a moment"),
        ProblemKind(
            "recovering", 503, StatusCode.UNAVAILABLE,
            "Nothing is charged before the engine has recovered",
        ),
    )
}  # fmt: skip
_BY_STATUS: Final[Mapping[int, str]] = {
    400: "malformed_request",
    401: "unauthenticated",
    403: "permission_denied",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    409: "conflict",
    413: "body_too_large",
    415: "unsupported_media_type",
    422: "invalid_request",
    429: "rate_limited",
    503: "unavailable",
}
# The most specific class first.
_OF_ERRORS: Final[tuple[tuple[type[BillingError], str], ...]] = (
    (CardNumberRefused, "card_number_refused"),
    (KeyReused, "idempotency_key_reused"),
    (RequestInFlight, "request_in_flight"),
    (NotFound, "not_found"),
    (Conflict, "conflict"),
    (BadInput, "invalid_request"),
    (Unavailable, "unavailable"),
    (SchemaUnknown, "unavailable"),
)
RETRY_AFTER_SECONDS: Final[Mapping[str, int]] = {
    "request_in_flight": 1,
    "unavailable": 5,
    "recovering": 60,
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One occurrence of an error. `more` are members of its own, beside the standard ones."""

    kind: ProblemKind
    detail: str
    more: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """Return it as RFC 9457 has it."""
        return {
            "type": TYPE_PREFIX + self.kind.code,
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            "code": self.kind.code,
            **self.more,
        }

    def http_headers(self) -> dict[str, str]:
        """Return the headers of the answer."""
        wait = RETRY_AFTER_SECONDS.get(self.kind.code)
        told = {} if wait is None else {"retry-after": str(wait)}
        return told | dict(self.headers)


class Refused(Exception):
    """Ends a request with a problem."""

    def __init__(
        self, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(detail)
        self.problem = problem(code, detail, headers=headers, **more)


def problem(
    code: str, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any
) -> Problem:
    """Make a problem of a known code; members that are None are left out."""
    members = {name: value for name, value in more.items() if value is not None}
    return Problem(KINDS[code], detail, members, headers or {})


def of_status(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Problem:
    """Make the problem of an HTTP status that the framework ended a request with."""
    kind = KINDS[_BY_STATUS.get(status, "malformed_request" if status < 500 else "internal_error")]
    return Problem(kind, detail, {}, headers or {})


def of_error(error: BaseException) -> Problem | None:
    """Return the problem of an error that a caller can act on, or None for a fault of ours."""
    if isinstance(error, Refused):
        return error.problem
    if isinstance(error, Recovering):
        return _recovering()
    if isinstance(error, Unavailable | SchemaUnknown | ProviderKeyRefused):
        return _unavailable()
    if isinstance(error, BillingError):
        code = next(code for kind, code in _OF_ERRORS if isinstance(error, kind))
        return problem(code, error.what, where=error.where, remedy=remedy_of(error))
    if isinstance(error, NoConnectionFree | OperationalError):
        return _unavailable()
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return _unavailable()
    return None


def _unavailable() -> Problem:
    """Leave out internal addresses: the log has them."""
    return problem(
        "unavailable",
        "something this depends on doesn't answer",
        remedy="send the same request again, with the same idempotency key",
    )


def _recovering() -> Problem:
    return problem(
        "recovering",
        "the database is behind the payment provider: nothing is charged, refunded, captured or"
        " voided before an operator has recovered it",
        remedy="send the same request again later, with the same idempotency key",
    )


def internal() -> Problem:
    """Return the problem for a fault of ours, without any details."""
    return problem(
        "internal_error",
        "the request failed here; it may have been carried out",
        remedy="send it again with the same idempotency key: nothing happens twice",
    )
