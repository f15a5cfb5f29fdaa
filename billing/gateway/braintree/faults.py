"""The SDK's errors and refused requests as plain facts, and as errors of ours."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from braintree import exceptions

from billing.errors import BadInput, BillingError, Unavailable
from billing.gateway.braintree.fields import Node, several
from billing.gateway.errors import ProviderKeyRefused
from billing.gateway.kinds import FaultKind
from billing.gateway.rate import retry_after
from billing.gateway.transport import TransportError
from billing.gateway.untrusted import mapping, text

KEY_OF_ANOTHER_REQUEST: Final = "915232"
KEY_IN_FLIGHT: Final = "915233"
KEY_USED_UP: Final = "915234"
KEY_AFTER_ERROR: Final = "915235"
_KINDS_OF_CODES: Final[Mapping[str, FaultKind]] = {
    KEY_OF_ANOTHER_REQUEST: FaultKind.IDEMPOTENCY,
    KEY_IN_FLIGHT: FaultKind.CONFLICT,
    KEY_AFTER_ERROR: FaultKind.SERVER,
}
# Every class of the SDK's errors that an answer can raise; any other is unexpected.
FAULT_KINDS: Final[Mapping[type[Exception], FaultKind]] = {
    exceptions.AuthenticationError: FaultKind.AUTHENTICATION,
    exceptions.AuthorizationError: FaultKind.PERMISSION,
    exceptions.NotFoundError: FaultKind.INVALID_REQUEST,
    exceptions.RequestTimeoutError: FaultKind.SERVER,
    exceptions.GatewayTimeoutError: FaultKind.SERVER,
    exceptions.ServerError: FaultKind.SERVER,
    exceptions.ServiceUnavailableError: FaultKind.SERVER,
    exceptions.TooManyRequestsError: FaultKind.RATE_LIMIT,
    exceptions.UpgradeRequiredError: FaultKind.UNEXPECTED,
    exceptions.UnexpectedError: FaultKind.SERVER,  # told apart by status in `fault_of`
}
_DEEPEST: Final = 20  # of nested objects with errors; a request has four


@dataclass(frozen=True, slots=True)
class RequestFault:
    """One request without an object as its answer: the facts of the refusal or the failure.

    `codes` are those of the validation errors. `missing`: what the path names isn't there.
    """

    kind: FaultKind
    message: str
    codes: frozenset[str] = frozenset()
    missing: bool = False
    request_id: str | None = None
    retry_after: timedelta | None = None

    @property
    def word(self) -> str:
        """Braintree's own word for it, if there is one: the code of a validation error."""
        return min(self.codes, default=self.kind.value)


class RequestFaulted(Exception):
    """A request whose answer has no object."""

    def __init__(self, fault: RequestFault) -> None:
        super().__init__(fault.message)
        self.fault = fault


def fault_of(
    error: Exception, status: int | None, headers: Mapping[str, str], request_id: str | None
) -> RequestFault:
    """Reduce an error of a request to facts; its own text may quote the answer, so it isn't used.

    `status` and `headers` are the answer's, if one arrived.
    """
    if isinstance(error, TransportError):
        return RequestFault(FaultKind(error.failure), str(error), request_id=request_id)
    kind = FAULT_KINDS.get(type(error))
    if kind is None:
        message = f"an answer the SDK can't read ({type(error).__name__})"
        return RequestFault(FaultKind.GARBAGE, message, request_id=request_id)
    if isinstance(error, exceptions.UnexpectedError) and (status is None or status < 500):
        kind = FaultKind.UNEXPECTED
    missing = isinstance(error, exceptions.NotFoundError)
    message = "there is no such object" if missing else f"HTTP {status}"
    return RequestFault(
        kind,
        message,
        missing=missing,
        request_id=request_id,
        retry_after=retry_after(headers),
    )


def refusal(data: Node, request_id: str | None) -> RequestFault:
    """Return the fault of a request that was refused: by its values, or by a card's verification.

    Data is what stands under `api_error_response`.
    """
    message = (text(data, "message") or "refused without a reason")[:300]
    codes = frozenset(_codes(data.get("errors")))
    kinds = [_KINDS_OF_CODES[code] for code in codes if code in _KINDS_OF_CODES]
    kind = kinds[0] if kinds else FaultKind.INVALID_REQUEST
    if mapping(data.get("verification")):
        kind = FaultKind.CARD
    return RequestFault(kind, message, codes, request_id=request_id)


def _codes(errors: object, depth: int = 0) -> Iterator[str]:
    if depth > _DEEPEST:
        return
    for name, value in mapping(errors).items():
        if name == "errors":
            found = (text(each, "code") for each in several(value))
            yield from (code for code in found if code is not None)
        else:
            yield from _codes(value, depth + 1)


def garbage(message: str, request_id: str | None) -> RequestFault:
    """Return the fault of an answer of the wrong shape."""
    return RequestFault(FaultKind.GARBAGE, message, request_id=request_id)


def as_error(fault: RequestFault) -> BillingError:
    """Return the error for a call that moves no money."""
    where = where_of(fault.request_id)
    match fault.kind:
        case FaultKind.CARD:
            what = f"the payment method was refused: {fault.message}"
            return BadInput(what, where=where, remedy="ask the customer for another one")
        case FaultKind.INVALID_REQUEST | FaultKind.IDEMPOTENCY:
            what = f"Braintree refuses the request: {fault.message}"
            return BadInput(what, where=where, remedy="correct the value it names")
        case FaultKind.AUTHENTICATION:
            what = f"Braintree refuses the keys: {fault.message}"
            remedy = "set merchant_id, public_key and private_key of the same environment"
            return ProviderKeyRefused(what, where=where, remedy=remedy)
        case FaultKind.PERMISSION:
            what = f"the keys may not do this: {fault.message}"
            remedy = "give the keys' user this permission"
            return ProviderKeyRefused(what, where=where, remedy=remedy)
        case _:
            what = f"Braintree doesn't answer as it should: {fault.message}"
            return Unavailable(what, where=where, remedy="try again in a while")


def where_of(request_id: str | None) -> str:
    """Return the place of an error, to be searched for."""
    return f"Braintree, request {request_id}" if request_id else "Braintree"


def unreadable(identifier: str, problem: str, request_id: str | None) -> Unavailable:
    """Return the error for an answer that is complete, but of the wrong shape."""
    return Unavailable(
        f"Braintree's answer for {identifier[:80]} can't be read: {problem}",
        where=where_of(request_id),
        remedy="try again; if it stays, this version doesn't know such objects",
    )


def sdk_errors() -> frozenset[type[Any]]:
    """Return the classes of the SDK's errors; a test holds the table to them."""
    return frozenset(each for each in vars(exceptions).values() if isinstance(each, type))
