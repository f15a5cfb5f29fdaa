"""Requests to a provider, and their outcomes.

The engine never sees a provider's exception. An outcome says how much is *known*:
`Succeeded`, `Declined`, `ActionRequired`, `RefundAccepted` and `Rejected` are definite; after
`Unknown` money may or may not have moved, so the only thing to do is ask again under the
same key; `Deferred` was certainly not executed and is sent again, same key, later.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from billing.rules.dunning import Advice, DeclineClass
from billing.rules.money import Money
from billing.rules.payments import RefusalReason
from billing.rules.refunds import RefundFailure, RefundStatus


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The money was captured (or, with manual capture, authorised)."""

    provider_payment_id: str
    amount: Money
    captured: bool = True
    provider_charge_id: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Declined:
    """The bank or the card network declined; a later attempt is a new one.

    `decline_code` is the provider's own word, for people and metrics; the class alone decides what
    follows.
    """

    decline_code: str
    decline_class: DeclineClass
    advice: Advice | None = None
    message: str = ""
    provider_payment_id: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class ActionRequired:
    """The payment waits for the customer to authenticate (3-D Secure and the like)."""

    provider_payment_id: str
    message: str = ""
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A definite fault of ours: the provider refused the request and executed nothing.

    `error_class` is the provider's own word, for people; flows decide by `reason`.
    """

    error_class: str
    message: str
    request_id: str | None = None
    reason: RefusalReason = RefusalReason.OTHER


@dataclass(frozen=True, slots=True)
class Deferred:
    """Certainly not executed (429, or a refused key, on a first send): send again later."""

    error_class: str
    message: str
    retry_after: timedelta | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """No definite answer; the request may have been executed."""

    error_class: str
    message: str
    provider_payment_id: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class RefundAccepted:
    """The provider has the refund; `status` says how far it is. A succeeded one may still fail."""

    provider_refund_id: str
    status: RefundStatus
    amount: Money
    failure_reason: RefundFailure | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Absent:
    """The provider's own lists prove that nothing was executed under this attempt."""


def canceled(message: str, request_id: str | None = None) -> Rejected:
    """Return the outcome of an attempt whose payment was canceled at the provider."""
    reason = RefusalReason.PAYMENT_CANCELED
    return Rejected(reason.value, message, request_id, reason)


Outcome = Succeeded | Declined | ActionRequired | Rejected | Deferred | Unknown
RefundOutcome = RefundAccepted | Rejected | Deferred | Unknown


def word_of(outcome: Outcome | RefundOutcome | Absent) -> str:
    """Return what an outcome is called in log lines and traces."""
    match outcome:
        case Succeeded(captured=captured):
            return "succeeded" if captured else "authorized"
        case RefundAccepted(status=status):
            return str(status)
        case ActionRequired():
            return "action_required"
        case _:
            return type(outcome).__name__.lower()


@dataclass(frozen=True, slots=True)
class ChargeRequest:
    """One attempt, complete and reproducible: the same value makes the same HTTP request.

    `provider_payment_id` is None on the first attempt; where the provider holds a payment before
    money moves, later attempts are made of the one named here.
    `metadata` carries payment, subscription, period and key, so that a lost answer can be
    found again in the provider's lists. `method_type` is "card", or a wallet's brand; None stands
    in requests from before there were wallets, which are sent again as they were: of cards.
    """

    idempotency_key: str
    amount: Money
    provider_customer_id: str
    payment_method: str
    provider_payment_id: str | None = None
    manual_capture: bool = False
    description: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    method_type: str | None = None


@dataclass(frozen=True, slots=True)
class RefundRequest:
    """One refund, complete and reproducible.

    `metadata` names our refund, so that a look-up finds it after a lost answer.
    """

    idempotency_key: str
    provider_payment_id: str
    amount: Money
    metadata: Mapping[str, str]

    def __post_init__(self) -> None:
        if not any(self.metadata.values()):
            raise ValueError("a refund without metadata couldn't be found again")
