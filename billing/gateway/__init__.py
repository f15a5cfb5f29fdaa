"""The provider as the engine sees it: a few calls, and every answer one of six outcomes.

The engine never sees a provider's exception. An outcome says how much is *known*:
`Succeeded`, `Declined`, `ActionRequired` and `Rejected` are definite; after `Unknown` money
may or may not have moved, so the only thing to do is ask again under the same key;
`Deferred` was certainly not executed and is sent again, same key, later.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from billing.money import Money


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
    """A definite no from the card's side; a later attempt is a new one."""

    decline_code: str
    advice_code: str | None = None
    message: str = ""
    provider_payment_id: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class ActionRequired:
    """The payment waits for the customer (3-D Secure and the like)."""

    provider_payment_id: str
    message: str = ""
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A definite fault of ours: the provider refused the request and executed nothing."""

    error_class: str
    message: str
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Deferred:
    """Certainly not executed (429, or a refused key, on a first send): send again later."""

    error_class: str
    message: str
    retry_after: timedelta | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """No answer we can trust; the charge may have gone through."""

    error_class: str
    message: str
    provider_payment_id: str | None = None
    request_id: str | None = None


Outcome = Succeeded | Declined | ActionRequired | Rejected | Deferred | Unknown


@dataclass(frozen=True, slots=True)
class Absent:
    """The provider's own lists prove that nothing was executed under this attempt."""


@dataclass(frozen=True, slots=True)
class ChargeRequest:
    """One attempt, complete and reproducible: the same value makes the same HTTP request.

    `provider_payment_id` is None on the first attempt, which creates and confirms the
    provider's PaymentIntent; later attempts confirm the one named here.
    `metadata` carries payment, subscription, period and key, so that a lost answer can be
    found again in the provider's lists.
    """

    idempotency_key: str
    amount: Money
    provider_customer_id: str
    payment_method: str
    provider_payment_id: str | None = None
    manual_capture: bool = False
    description: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PaymentMethodDetails:
    """What may be kept of a card: the token and what the customer recognises it by."""

    token: str
    brand: str
    last4: str
    exp_month: int
    exp_year: int


@dataclass(frozen=True, slots=True)
class ProviderCharge:
    """One charge in the provider's list, as reconciliation reads it (amounts in minor units)."""

    id: str
    provider_payment_id: str | None
    amount: Money
    captured: bool
    succeeded: bool
    created: datetime
    refunded_amount: int = 0
    decline_code: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


class Gateway(Protocol):
    """What the engine asks of a payment provider. Every call has a deadline of its own."""

    def charge(self, request: ChargeRequest, *, first_send: bool) -> Outcome:
        """Send one attempt. Never raises for what the provider or the network did.

        `first_send` is False when this attempt's key was sent before: then a 401 or 429
        says nothing about the earlier send and is `Unknown`.
        """
        ...

    def look_up(self, request: ChargeRequest, *, since: datetime) -> Outcome | Absent:
        """Find out what became of an attempt whose key may have been forgotten (over 23 h).

        Reads strongly consistent lists and retrieves only, never a search index.
        """
        ...

    def cancel(self, provider_payment_id: str, *, idempotency_key: str) -> Outcome | Absent:
        """Cancel a PaymentIntent that must not be paid any more; `Absent` when it is canceled."""
        ...

    def create_customer(self, *, name: str, email: str | None, idempotency_key: str) -> str:
        """Create the provider's customer and return its id. Raises `Unavailable`, `BadInput`."""
        ...

    def attach_payment_method(
        self, provider_customer_id: str, token: str, *, idempotency_key: str
    ) -> PaymentMethodDetails:
        """Attach a payment method token. Raises `Unavailable`, or `BadInput` when refused."""
        ...

    def list_charges(
        self, *, since: datetime, until: datetime | None = None
    ) -> Iterator[Sequence[ProviderCharge]]:
        """Yield pages of charges created in [since, until), oldest or newest first.

        Raises `Unavailable`; pages already yielded stay true.
        """
        ...

    def check(self) -> None:
        """Prove that the provider answers with our key. Raises `Unavailable` or `BadInput`."""
        ...
