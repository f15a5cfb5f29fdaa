"""Stripe behind the `Gateway` protocol; the only module that imports the SDK.

The SDK authenticates, encodes and names the errors; it neither retries nor parses objects
for us (`raw_request` answers with plain JSON, at a third of the cost of the typed
services). Every request goes through `_send`, which takes a token from the bucket, holds
the deadline and turns whatever went wrong into a `Fault`; `classify` decides the rest.
Nothing here logs, and no message carries a raw body or a key.
"""

import logging
import math
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, cast
from urllib.parse import quote

import stripe
from stripe import oauth_error

from billing.errors import BadInput, BillingError, Unavailable
from billing.gateway import (
    Absent,
    ChargeRequest,
    Outcome,
    PaymentMethodDetails,
    ProviderCharge,
    Rejected,
    Unknown,
)
from billing.gateway.amounts import InexpressibleAmount, from_stripe, to_stripe
from billing.gateway.classify import (
    Fault,
    FaultKind,
    Intent,
    Malformed,
    declined_by,
    difference_from,
    mapping,
    outcome_of_cancel,
    outcome_of_fault,
    outcome_of_intent,
    read_intent,
    reference,
)
from billing.gateway.rate import TokenBucket
from billing.gateway.transport import Deadline, Transport, TransportError

PAGE: Final = 100
QUEUE_SECONDS: Final = 5.0  # the longest wait for a token; the rest of the deadline is the call's
LOOK_BACK: Final = timedelta(hours=1)  # how far our clock may be ahead of Stripe's
CLOCK_SKEW: Final = timedelta(minutes=1)
LONGEST_RETRY_AFTER: Final = timedelta(hours=1)
LONGEST_KEY: Final = 255

Observe = Callable[[str, float, str | None], None]
Json = Mapping[str, object]

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


@dataclass(frozen=True, slots=True)
class _Answer:
    data: Json
    request_id: str | None


class _Faulted(Exception):
    """A request brought no object."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


class StripeGateway:
    """Collects payments through Stripe. Threads share one; make it after forking.

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
            raise BadInput(
                "there is no Stripe secret key", remedy="set stripe.api_key (sk_... or rk_...)"
            )
        base = (api_base or stripe.DEFAULT_API_BASE).rstrip("/")
        transport = Transport(
            base,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            ca_certs=stripe.ca_bundle_path,
        )
        stripe.enable_telemetry = False
        logging.getLogger("stripe").setLevel(logging.WARNING)  # below that it logs bodies
        self._http = _SdkTransport(transport)
        self._client = stripe.StripeClient(
            api_key,
            base_addresses={"api": base},
            http_client=self._http,
            max_network_retries=0,
        )
        self._seconds = deadline
        self._bucket = bucket
        self._observe = observe

    def charge(self, request: ChargeRequest, *, first_send: bool) -> Outcome:
        """Send one attempt; whatever happens is an outcome."""
        try:
            path, params = _charge_call(request)
        except InexpressibleAmount as error:
            return Rejected("inexpressible_amount", str(error))
        if not _KEY.fullmatch(request.idempotency_key):
            return Rejected("unusable_idempotency_key", "a key is 1 to 255 printable characters")
        operation = "confirm" if request.provider_payment_id else "create_and_confirm"
        deadline = Deadline(self._seconds)
        try:
            answer = self._send(
                operation, "post", path, params, deadline, key=request.idempotency_key
            )
            return outcome_of_intent(_intent(answer), request, answer.request_id)
        except _Faulted as failed:
            fault, known_id = failed.fault, request.provider_payment_id
            if known_id and fault.code == "payment_intent_unexpected_state":
                return self._settled_already(request, known_id, fault, deadline)
            return outcome_of_fault(fault, first_send=first_send, provider_payment_id=known_id)

    def look_up(self, request: ChargeRequest, *, since: datetime) -> Outcome | Absent:
        """Find out by retrieves and complete lists what became of an attempt."""
        deadline = Deadline(self._seconds)
        known_id = request.provider_payment_id
        try:
            if known_id:
                return self._look_up_known(request, known_id, since, deadline)
            return self._look_up_by_key(request, since, deadline)
        except _Faulted as failed:
            fault = failed.fault
            return Unknown(fault.kind.value, fault.message, known_id, fault.request_id)

    def cancel(self, provider_payment_id: str, *, idempotency_key: str) -> Outcome | Absent:
        """Cancel a PaymentIntent; `Absent` when it is canceled, also when it was before."""
        deadline = Deadline(self._seconds)
        path = f"{_intent_path(provider_payment_id)}/cancel"
        try:
            try:
                answer = self._send("cancel", "post", path, {}, deadline, key=idempotency_key)
            except _Faulted as failed:
                if failed.fault.code != "payment_intent_unexpected_state":
                    raise
                answer = self._retrieve(provider_payment_id, deadline)
            intent = _intent(answer)
        except _Faulted as failed:
            return outcome_of_fault(
                failed.fault, first_send=True, provider_payment_id=provider_payment_id
            )
        if intent.id != provider_payment_id:
            message = "the answer is about another PaymentIntent"
            return Unknown("wrong_id", message, provider_payment_id, answer.request_id)
        return outcome_of_cancel(intent, answer.request_id)

    def create_customer(self, *, name: str, email: str | None, idempotency_key: str) -> str:
        """Create the provider's customer and return its id."""
        params: dict[str, object] = {"name": name}
        if email:
            params["email"] = email
        answer = self._ask("create_customer", "post", "/v1/customers", params, key=idempotency_key)
        return _required(answer, "customer", "id")

    def attach_payment_method(
        self, provider_customer_id: str, token: str, *, idempotency_key: str
    ) -> PaymentMethodDetails:
        """Attach a payment method token and return what the customer recognises it by."""
        path = f"/v1/payment_methods/{_segment(token)}/attach"
        params = {"customer": provider_customer_id}
        answer = self._ask("attach_payment_method", "post", path, params, key=idempotency_key)
        card = mapping(answer.data.get("card"))
        if not card:
            raise BadInput(
                f"{token} is no card",
                where="the payment method at Stripe",
                remedy="ask the customer for a card; other kinds of payment aren't collected",
            )
        return PaymentMethodDetails(
            token=_required(answer, "payment_method", "id"),
            brand=str(card.get("brand", "")),
            last4=str(card.get("last4", "")),
            exp_month=_number(card, "exp_month"),
            exp_year=_number(card, "exp_year"),
        )

    def list_charges(
        self, *, since: datetime, until: datetime | None = None
    ) -> Iterator[Sequence[ProviderCharge]]:
        """Yield pages of charges, newest first; each page has a deadline of its own."""
        # Stripe counts whole seconds: rounding both ends up makes neighbouring windows tile.
        created = {"gte": math.ceil(since.timestamp())}
        if until is not None:
            created["lt"] = math.ceil(until.timestamp())
        try:
            for page in self._pages("list_charges", "/v1/charges", {"created": created}, None):
                yield [_provider_charge(item) for item in page]
        except _Faulted as failed:
            raise _as_error(failed.fault) from None
        except ValueError as error:
            raise Unavailable(f"Stripe sent a charge that can't be read: {error}") from error

    def check(self) -> None:
        """Prove that Stripe answers and that the key may read payments."""
        self._ask("check", "get", "/v1/payment_intents", {"limit": 1})

    def close(self) -> None:
        """Close the idle connections; the gateway can still be used."""
        self._http.close()

    def _settled_already(
        self, request: ChargeRequest, known_id: str, fault: Fault, deadline: Deadline
    ) -> Outcome:
        """Decide a confirm that was refused because of the state: it may have been paid."""
        try:
            answer = self._retrieve(known_id, deadline)
            intent = _intent(answer)
        except _Faulted as failed:
            return Unknown(fault.code or fault.kind.value, failed.fault.message, known_id)
        if intent.status in ("requires_payment_method", "requires_confirmation"):
            # It could be confirmed now, so the refusal is about a state that has passed.
            return Unknown(
                fault.code or fault.kind.value, fault.message, known_id, fault.request_id
            )
        return outcome_of_intent(intent, request, answer.request_id)

    def _look_up_known(
        self, request: ChargeRequest, known_id: str, since: datetime, deadline: Deadline
    ) -> Outcome | Absent:
        answer = self._retrieve(known_id, deadline)
        intent = _intent(answer)
        waiting = intent.status in ("requires_payment_method", "requires_confirmation")
        if not waiting or difference_from(intent, request) is not None:
            return outcome_of_intent(intent, request, answer.request_id)
        # Not paid. The last error may be an earlier attempt's: only a charge made since
        # this one was sent shows that this one was declined.
        params = {
            "payment_intent": known_id,
            "created": {"gte": math.floor((since - CLOCK_SKEW).timestamp())},
        }
        charges = [c for p in self._pages("look_up", "/v1/charges", params, deadline) for c in p]
        if not charges:
            return Absent()
        if any(charge.get("status") != "failed" for charge in charges):
            message = "the PaymentIntent is unpaid, but one of its charges did not fail"
            return Unknown("contradiction", message, known_id, answer.request_id)
        return declined_by(_decline_of(charges[0], intent), known_id, answer.request_id)

    def _look_up_by_key(
        self, request: ChargeRequest, since: datetime, deadline: Deadline
    ) -> Outcome | Absent:
        params = {
            "customer": request.provider_customer_id,
            "created": {"gte": math.floor((since - LOOK_BACK).timestamp())},
        }
        found = [
            _readable(item)
            for page in self._pages("look_up", "/v1/payment_intents", params, deadline)
            for item in page
            if request.idempotency_key in mapping(item.get("metadata")).values()
        ]
        if not found:
            return Absent()
        live = [i for i in found if i.status not in ("canceled", "requires_payment_method")]
        if len(live) > 1:
            ids = " and ".join(intent.id for intent in live)
            return Unknown("several_payment_intents", f"{ids} carry the same key", live[0].id)
        intent = live[0] if live else found[0]
        unpaid = intent.status in ("requires_payment_method", "requires_confirmation")
        if unpaid and not intent.last_error and difference_from(intent, request) is None:
            return Absent()  # created, but never confirmed: nobody was charged
        return outcome_of_intent(intent, request)

    def _retrieve(self, provider_payment_id: str, deadline: Deadline) -> _Answer:
        return self._send("retrieve", "get", _intent_path(provider_payment_id), {}, deadline)

    def _pages(
        self, operation: str, path: str, params: Json, deadline: Deadline | None
    ) -> Iterator[Sequence[Json]]:
        """Yield every page of a list; ending without `_Faulted` means it was complete."""
        asked: dict[str, object] = {**params, "limit": PAGE}
        while True:
            within = deadline or Deadline(self._seconds)
            answer = self._send(operation, "get", path, asked, within)
            items, has_more = answer.data.get("data"), answer.data.get("has_more")
            if not isinstance(items, list) or not isinstance(has_more, bool):
                raise _Faulted(_garbage("expected a list", answer.request_id))
            page = [mapping(item) for item in items]
            if page:
                yield page
            if not has_more:
                return
            last = page[-1].get("id") if page else None
            if not isinstance(last, str) or last == asked.get("starting_after"):
                raise _Faulted(_garbage("a list without an end", answer.request_id))
            asked["starting_after"] = last

    def _ask(
        self, operation: str, method: str, path: str, params: Json, key: str | None = None
    ) -> _Answer:
        """Send a request that collects nothing. Raises: Unavailable, BadInput."""
        try:
            return self._send(operation, method, path, params, Deadline(self._seconds), key=key)
        except _Faulted as failed:
            raise _as_error(failed.fault) from None  # the SDK's error quotes the body

    def _send(
        self,
        operation: str,
        method: str,
        path: str,
        params: Json,
        deadline: Deadline,
        *,
        key: str | None = None,
    ) -> _Answer:
        """Send one request, once. Raises: _Faulted."""
        bucket = self._bucket
        if bucket is not None and not bucket.acquire(min(QUEUE_SECONDS, deadline.remaining())):
            raise _Faulted(Fault(FaultKind.NOT_SENT, "held back by the rate limit"))
        started = time.perf_counter()
        failure: FaultKind | None = None
        try:
            return self._exchange(method, path, params, deadline, key)
        except _Faulted as failed:
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
    ) -> _Answer:
        self._http.begin(deadline)
        try:
            response = cast(
                stripe.StripeResponse,
                self._client.raw_request(method, path, **params, idempotency_key=key),
            )
        except stripe.StripeError as error:
            raise _Faulted(_fault(error, self._http.request_id)) from error
        except Exception as error:  # the SDK itself stumbles over malformed error bodies
            message = f"an answer the SDK can't read ({type(error).__name__})"
            raise _Faulted(_garbage(message, self._http.request_id)) from error
        if not isinstance(response.data, dict):
            raise _Faulted(_garbage("expected an object", self._http.request_id))
        return _Answer(response.data, self._http.request_id)


class _SdkTransport(stripe.HTTPClient):
    """Our transport in the SDK's clothes; each thread sets the deadline of its next request."""

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
        self._local.deadline = deadline
        self._local.request_id = None

    def request(  # type: ignore[override]
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        post_data: str | None = None,
    ) -> tuple[bytes, int, Mapping[str, str]]:
        try:
            answer = self._transport.send(method, url, headers, post_data, self._local.deadline)
        except TransportError as error:
            raise _no_answer(str(error)) from error
        self._local.request_id = answer[2].get("request-id")
        return answer

    def close(self) -> None:
        self._transport.close()


def _no_answer(message: str) -> stripe.APIConnectionError:
    return stripe.APIConnectionError(message)  # type: ignore[no-untyped-call]


def _charge_call(request: ChargeRequest) -> tuple[str, Json]:
    """Return path and parameters; the same request makes the same bytes."""
    if request.amount.amount <= 0:
        raise InexpressibleAmount(f"{request.amount} can't be charged")
    if request.provider_payment_id:
        path = f"{_intent_path(request.provider_payment_id)}/confirm"
        return path, {"payment_method": request.payment_method, "off_session": True}
    params: dict[str, object] = {
        "amount": to_stripe(request.amount),
        "currency": request.amount.currency.lower(),
        "customer": request.provider_customer_id,
        "payment_method": request.payment_method,
        "payment_method_types": ["card"],
        "capture_method": "manual" if request.manual_capture else "automatic",
        "off_session": True,
        "confirm": True,
        "metadata": dict(request.metadata),
    }
    if request.description:
        params["description"] = request.description
    return "/v1/payment_intents", params


def _intent(answer: _Answer) -> Intent:
    try:
        return read_intent(answer.data)
    except Malformed as error:
        raise _Faulted(_garbage(str(error), answer.request_id)) from error


def _readable(item: Json) -> Intent:
    return _intent(_Answer(item, None))


def _decline_of(charge: Json, intent: Intent) -> Json:
    """Return the codes of a failed charge, from the PaymentIntent's last error if it is its."""
    if reference(intent.last_error.get("charge")) in (None, charge.get("id")):
        return intent.last_error
    outcome = mapping(charge.get("outcome"))
    return {
        "decline_code": outcome.get("reason") or charge.get("failure_code"),
        "advice_code": outcome.get("advice_code"),
        "message": charge.get("failure_message"),
    }


def _provider_charge(item: Json) -> ProviderCharge:
    if item.get("object") != "charge":
        raise Malformed("expected a charge")
    currency = str(item.get("currency"))
    captured, succeeded = item.get("captured") is True, item.get("status") == "succeeded"
    reason = mapping(item.get("outcome")).get("reason") or item.get("failure_code")
    return ProviderCharge(
        id=str(item["id"]) if isinstance(item.get("id"), str) else _missing("id"),
        provider_payment_id=reference(item.get("payment_intent")),
        amount=from_stripe(_number(item, "amount_captured" if captured else "amount"), currency),
        captured=captured,
        succeeded=succeeded,
        created=datetime.fromtimestamp(_number(item, "created"), UTC),
        refunded_amount=from_stripe(_number(item, "amount_refunded"), currency).amount,
        decline_code=None if succeeded or reason is None else str(reason),
        metadata={k: str(v) for k, v in mapping(item.get("metadata")).items()},
    )


def _number(data: Json, name: str) -> int:
    value = data.get(name)
    return value if type(value) is int else int(_missing(name))


def _missing(name: str) -> str:
    raise Malformed(f"{name} is missing")


def _required(answer: _Answer, kind: str, name: str) -> str:
    value = answer.data.get(name)
    if answer.data.get("object") != kind or not isinstance(value, str):
        raise Unavailable(
            f"Stripe answered with something that is no {kind}",
            where=_where(answer.request_id),
            remedy="try again",
        )
    return value


def _fault(error: stripe.StripeError, request_id: str | None) -> Fault:
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
        _harmless(_string(body, "message") or fallback),
        code=_string(body, "code"),
        decline_code=_string(body, "decline_code"),
        advice_code=_string(body, "advice_code"),
        intent_id=_string(intent, "id"),
        intent_status=_string(intent, "status"),
        request_id=request_id,
        retry_after=_retry_after(error.headers),
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
        return kind if body.get("type") == "card_error" else FaultKind.UNEXPECTED
    return kind


def _garbage(message: str, request_id: str | None) -> Fault:
    return Fault(FaultKind.GARBAGE, message, request_id=request_id)


def _retry_after(headers: Mapping[str, str] | None) -> timedelta | None:
    text = (headers or {}).get("retry-after")
    if text is None or not re.fullmatch(r"[0-9]{1,9}(\.[0-9]+)?", text):
        return None
    return min(timedelta(seconds=float(text)), LONGEST_RETRY_AFTER)


def _as_error(fault: Fault) -> BillingError:
    """Return the error that a user of an operation which collects nothing meets."""
    where = _where(fault.request_id)
    match fault.kind:
        case FaultKind.CARD:
            what = f"the card was declined: {fault.message}"
            return BadInput(what, where=where, remedy="ask the customer for another card")
        case FaultKind.INVALID_REQUEST | FaultKind.IDEMPOTENCY:
            what = f"Stripe refuses the request: {fault.message}"
            return BadInput(what, where=where, remedy="correct the value it names")
        case FaultKind.AUTHENTICATION:
            what = f"Stripe refuses the secret key: {fault.message}"
            return BadInput(what, where=where, remedy="set stripe.api_key to a valid key")
        case FaultKind.PERMISSION:
            what = f"the secret key may not do this: {fault.message}"
            return BadInput(what, where=where, remedy="give the restricted key this permission")
        case _:
            what = f"Stripe doesn't answer as it should: {fault.message}"
            return Unavailable(what, where=where, remedy="try again in a while")


def _where(request_id: str | None) -> str:
    return f"Stripe, request {request_id}" if request_id else "Stripe"


def _intent_path(provider_payment_id: str) -> str:
    return f"/v1/payment_intents/{_segment(provider_payment_id)}"


def _segment(identifier: str) -> str:
    if not identifier.strip(". "):
        raise BadInput("an id of the provider is empty", remedy="give the id, like pm_...")
    return quote(identifier, safe="")


def _harmless(text: str) -> str:
    return _SECRET.sub(r"\1_...", text)[:300]


def _string(data: Json, name: str) -> str | None:
    value = data.get(name)
    return value if isinstance(value, str) and value else None


_KEY: Final = re.compile(rf"[!-~]{{1,{LONGEST_KEY}}}")
_SECRET: Final = re.compile(r"\b(sk|rk|pk|whsec)_[\w*]+")
