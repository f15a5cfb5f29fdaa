"""The SDK's errors as plain facts, and as errors of ours for calls that move no money."""

import re
from collections.abc import Mapping
from typing import Final

import stripe
from stripe import oauth_error

from billing.errors import BadInput, BillingError, Unavailable
from billing.gateway.errors import ProviderKeyRefused
from billing.gateway.kinds import FaultKind
from billing.gateway.rate import retry_after
from billing.gateway.stripe.classify import Fault
from billing.gateway.stripe.declines import DECLINING_ERRORS
from billing.gateway.stripe.fields import reference
from billing.gateway.transport import TransportError
from billing.gateway.untrusted import mapping, text

# Every class of the SDK by name: one that isn't here is unexpected, and a test says so.
FAULT_KINDS: Final[Mapping[type[stripe.StripeError], FaultKind]] = {
    stripe.CardError: FaultKind.CARD,
    stripe.InvalidRequestError: FaultKind.INVALID_REQUEST,
    stripe.IdempotencyError: FaultKind.IDEMPOTENCY,
    stripe.PermissionError: FaultKind.PERMISSION,
    stripe.AuthenticationError: FaultKind.AUTHENTICATION,
    stripe.RateLimitError: FaultKind.RATE_LIMIT,
    stripe.APIConnectionError: FaultKind.CONNECTION,
    stripe.APIError: FaultKind.SERVER,  # told apart by status in `_kind`
    stripe.SignatureVerificationError: FaultKind.UNEXPECTED,
    # Errors of the v2 API and of OAuth, neither of which is used here.
    stripe.AlreadyCanceledError: FaultKind.UNEXPECTED,
    stripe.BlockedByStripeError: FaultKind.UNEXPECTED,
    stripe.CannotProceedError: FaultKind.UNEXPECTED,
    stripe.CapabilityNotEnabledError: FaultKind.UNEXPECTED,
    stripe.ControlledByAlternateResourceError: FaultKind.UNEXPECTED,
    stripe.FeatureNotEnabledError: FaultKind.UNEXPECTED,
    stripe.FinancialAccountNotOpenError: FaultKind.UNEXPECTED,
    stripe.FxQuoteNeedsRefreshError: FaultKind.UNEXPECTED,
    stripe.InsufficientFundsError: FaultKind.UNEXPECTED,
    stripe.InvalidPaymentMethodError: FaultKind.UNEXPECTED,
    stripe.InvalidPayoutMethodError: FaultKind.UNEXPECTED,
    stripe.InvalidVaultedCredentialError: FaultKind.UNEXPECTED,
    stripe.NotCancelableError: FaultKind.UNEXPECTED,
    stripe.QuotaExceededError: FaultKind.UNEXPECTED,
    stripe.RecipientNotNotifiableError: FaultKind.UNEXPECTED,
    stripe.TemporarySessionExpiredError: FaultKind.UNEXPECTED,
    stripe.VerificationAttemptFailedError: FaultKind.UNEXPECTED,
    stripe.VerificationExpiredError: FaultKind.UNEXPECTED,
    stripe.VerificationNotInitiatedError: FaultKind.UNEXPECTED,
    oauth_error.OAuthError: FaultKind.UNEXPECTED,
    oauth_error.InvalidClientError: FaultKind.UNEXPECTED,
    oauth_error.InvalidGrantError: FaultKind.UNEXPECTED,
    oauth_error.InvalidRequestError: FaultKind.UNEXPECTED,
    oauth_error.InvalidScopeError: FaultKind.UNEXPECTED,
    oauth_error.UnsupportedGrantTypeError: FaultKind.UNEXPECTED,
    oauth_error.UnsupportedResponseTypeError: FaultKind.UNEXPECTED,
}


class Faulted(Exception):
    """A request whose answer has no object."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


def fault_of(error: stripe.StripeError, request_id: str | None) -> Fault:
    """Reduce an SDK error to facts; its own text may quote the body, so it isn't used."""
    body = mapping(mapping(error.json_body).get("error"))
    kind, status = _kind(error), error.http_status
    if isinstance(error, stripe.APIConnectionError):
        fallback = error.user_message or "no answer"
    else:
        fallback = f"HTTP {status} without a readable reason"
    intent = mapping(body.get("payment_intent"))
    return Fault(
        kind,
        _harmless(text(body, "message") or fallback),
        code=text(body, "code"),
        param=text(body, "param"),
        decline_code=text(body, "decline_code"),
        advice_code=text(body, "advice_code"),
        intent_id=reference(intent),
        intent_status=text(intent, "status"),
        request_id=request_id,
        retry_after=retry_after(error.headers),
    )


def _kind(error: stripe.StripeError) -> FaultKind:
    kind = FAULT_KINDS.get(type(error), FaultKind.UNEXPECTED)
    cause = error.__cause__
    if isinstance(cause, TransportError):
        return FaultKind(cause.failure)
    if kind is FaultKind.SERVER:
        status = error.http_status or 0
        if status >= 500:
            return kind
        return {409: FaultKind.CONFLICT, 424: FaultKind.DEPENDENCY}.get(status, FaultKind.GARBAGE)
    if kind is FaultKind.CARD:
        body = mapping(mapping(error.json_body).get("error"))
        is_decline = body.get("type") == "card_error" or body.get("code") in DECLINING_ERRORS
        return kind if is_decline else FaultKind.UNEXPECTED
    return kind


def garbage(message: str, request_id: str | None) -> Fault:
    """Return the fault of an answer of the wrong shape."""
    return Fault(FaultKind.GARBAGE, message, request_id=request_id)


def as_error(fault: Fault) -> BillingError:
    """Return the error for a call that moves no money."""
    where = where_of(fault.request_id)
    match fault.kind:
        case FaultKind.CARD:
            what = f"the card was declined: {fault.message}"
            return BadInput(what, where=where, remedy="ask the customer for another card")
        case FaultKind.INVALID_REQUEST | FaultKind.IDEMPOTENCY:
            what = f"Stripe refuses the request: {fault.message}"
            return BadInput(what, where=where, remedy="correct the value it names")
        case FaultKind.AUTHENTICATION:
            what = f"Stripe refuses the secret key: {fault.message}"
            return ProviderKeyRefused(what, where=where, remedy="set api_key to a valid key")
        case FaultKind.PERMISSION:
            what = f"the secret key may not do this: {fault.message}"
            remedy = "give the restricted key this permission"
            return ProviderKeyRefused(what, where=where, remedy=remedy)
        case _:
            what = f"Stripe doesn't answer as it should: {fault.message}"
            return Unavailable(what, where=where, remedy="try again in a while")


def where_of(request_id: str | None) -> str:
    """Return the operation and request id of an error, to be searched for in Stripe's log."""
    return f"Stripe, request {request_id}" if request_id else "Stripe"


def _harmless(message: str) -> str:
    return _SECRET.sub(r"\1_...", message)[:300]


_SECRET: Final = re.compile(r"\b(sk|rk|pk|whsec)_[\w*]+")
