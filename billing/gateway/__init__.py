"""The interface to payment providers: a few calls, and values for their answers.

`outcomes` has the possible results of a request, `objects` the provider's objects. A call that
moves money never raises for an error of the provider or the network: it returns an outcome. All
others raise `Unavailable` (trying again may work) or `BadInput` (it won't).
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from billing.gateway.capabilities import Capabilities
from billing.gateway.kinds import (
    DisputeStage,
    EventKind,
    PaymentMethodKind,
    RefundFailure,
    RefundStatus,
)
from billing.gateway.objects import (
    BalanceTransaction,
    PaymentMethodDetails,
    ProviderCharge,
    ProviderCustomer,
    ProviderDispute,
    ProviderEvent,
    ProviderPayment,
    ProviderPayout,
    ProviderRefund,
)
from billing.gateway.outcomes import (
    Absent,
    ActionRequired,
    ChargeRequest,
    Declined,
    Deferred,
    Outcome,
    RefundAccepted,
    RefundOutcome,
    RefundRequest,
    Rejected,
    Succeeded,
    Unknown,
    canceled,
    word_of,
)
from billing.rules.money import Money

__all__ = [
    "Absent",
    "ActionRequired",
    "BalanceTransaction",
    "Capabilities",
    "ChargeRequest",
    "Declined",
    "Deferred",
    "DisputeStage",
    "EventKind",
    "Gateway",
    "Outcome",
    "PaymentMethodDetails",
    "PaymentMethodKind",
    "ProviderCharge",
    "ProviderCustomer",
    "ProviderDispute",
    "ProviderEvent",
    "ProviderPayment",
    "ProviderPayout",
    "ProviderRefund",
    "RefundAccepted",
    "RefundFailure",
    "RefundOutcome",
    "RefundRequest",
    "RefundStatus",
    "Rejected",
    "Succeeded",
    "Unknown",
    "canceled",
    "word_of",
]


class Gateway(Protocol):
    """A payment provider, as the engine calls it. Every call has a deadline of its own.

    Lists are of what was created in [since, until), newest first, a page at a time, each page
    with a deadline of its own; pages already yielded stay true when a later one fails.
    """

    @property
    def capabilities(self) -> Capabilities:
        """What this provider can do, and its limits."""
        ...

    def charge(self, request: ChargeRequest, *, first_send: bool) -> Outcome:
        """Send one attempt. Never raises for an error of the provider or the network.

        `first_send` is False when this attempt's key was sent before: then a 401 or 429
        says nothing about the earlier send and is `Unknown`.
        """
        ...

    def look_up(self, request: ChargeRequest, *, since: datetime) -> Outcome | Absent:
        """Look up the outcome of an attempt whose key the provider may have forgotten.

        `Absent` only where the provider's own objects prove it: what a search may not show yet is
        `Unknown`.
        """
        ...

    def find_payment(self, request: ChargeRequest, *, since: datetime) -> Outcome | Absent:
        """Look for a payment made since then for the same payment of ours, by any attempt.

        Goes by the metadata `payment`. One that was canceled isn't found: it can't be paid any
        more. `Deferred` where the lists can't be read.
        """
        ...

    def capture(self, provider_payment_id: str, amount: Money, *, idempotency_key: str) -> Outcome:
        """Capture an authorised payment, or a part of it; the rest of the authorisation lapses.

        Safe to repeat: a payment that was captured with this amount before is `Succeeded`.
        `Rejected` means that it can't be captured (canceled, expired, never authorised).
        """
        ...

    def cancel(self, provider_payment_id: str, *, idempotency_key: str) -> Outcome | Absent:
        """Cancel a payment that must not be paid any more; `Absent` when it is canceled.

        `Succeeded` when it was captured already: that is the customer's payment.
        """
        ...

    def refund(self, request: RefundRequest, *, first_send: bool) -> RefundOutcome:
        """Refund money. `first_send` has the same meaning as for `charge`."""
        ...

    def look_up_refund(
        self, request: RefundRequest, *, since: datetime
    ) -> RefundAccepted | Unknown | Absent:
        """Look up the outcome of a refund whose key the provider may have forgotten."""
        ...

    def create_customer(
        self, *, name: str, email: str | None, metadata: Mapping[str, str], idempotency_key: str
    ) -> str:
        """Create the provider's customer and return its id. Raises `Unavailable`, `BadInput`."""
        ...

    def look_up_customer(self, metadata: Mapping[str, str], *, since: datetime) -> str | Absent:
        """Look up a customer whose key the provider may have forgotten, by its metadata.

        Reads the complete list of those made since then. Raises `Unavailable`, `BadInput`.
        """
        ...

    def attach_payment_method(
        self, provider_customer_id: str, token: str, *, idempotency_key: str
    ) -> PaymentMethodDetails:
        """Attach a payment method token. Raises `Unavailable`, or `BadInput` when refused."""
        ...

    def payment(self, provider_payment_id: str) -> ProviderPayment | None:
        """Return the payment as it is now, or None when the provider has none of that id."""
        ...

    def refund_by_id(self, provider_refund_id: str) -> ProviderRefund | None:
        """Return the refund as it is now, or None when the provider has none of that id."""
        ...

    def dispute_by_id(self, provider_dispute_id: str) -> ProviderDispute | None:
        """Return the dispute as it is now, or None when the provider has none of that id."""
        ...

    def payout_by_id(self, provider_payout_id: str) -> ProviderPayout | None:
        """Return the payout as it is now, or None when the provider has none of that id."""
        ...

    def payment_method_by_id(self, token: str) -> PaymentMethodDetails | None:
        """Return the payment method as it is now, or None when there is none of that id."""
        ...

    def payment_methods_of(self, provider_customer_id: str) -> Sequence[PaymentMethodDetails]:
        """Return the payment methods that are attached to a customer, the newest first."""
        ...

    def customer_by_id(self, provider_customer_id: str) -> ProviderCustomer | None:
        """Return the customer as it is now, or None when the provider has none of that id."""
        ...

    def list_charges(
        self, *, since: datetime, until: datetime | None = None
    ) -> Iterator[Sequence[ProviderCharge]]:
        """Yield pages of charges."""
        ...

    def list_balance_transactions(
        self,
        *,
        since: datetime | None,
        until: datetime | None = None,
        after: str | None = None,
        payout: str | None = None,
    ) -> Iterator[Sequence[BalanceTransaction]]:
        """Yield pages of movements on the balance.

        `after`, the id of the last movement seen, resumes a listing that was cut short; the pages
        then go on towards older ones. With `payout` only the movements of that payout.
        """
        ...

    def list_refunds(
        self, *, since: datetime | None, until: datetime | None = None, charge: str | None = None
    ) -> Iterator[Sequence[ProviderRefund]]:
        """Yield pages of refunds; with `charge` only those of that charge."""
        ...

    def list_customers(
        self, *, since: datetime, until: datetime | None = None
    ) -> Iterator[Sequence[ProviderCustomer]]:
        """Yield pages of customers."""
        ...

    def list_disputes(
        self, *, since: datetime, until: datetime | None = None
    ) -> Iterator[Sequence[ProviderDispute]]:
        """Yield pages of disputes."""
        ...

    def list_payouts(
        self, *, since: datetime, until: datetime | None = None
    ) -> Iterator[Sequence[ProviderPayout]]:
        """Yield pages of payouts."""
        ...

    def list_events(
        self, *, since: datetime, undelivered_only: bool = False
    ) -> Iterator[Sequence[ProviderEvent]]:
        """Yield pages of events, as long as the provider keeps them.

        With `undelivered_only`, only events with a delivery that failed or hasn't succeeded yet.
        """
        ...

    def balance(self) -> Mapping[str, int]:
        """Return what the provider owes us by currency, available and pending together."""
        ...

    def check(self) -> None:
        """Prove that the provider answers with our key. Raises `Unavailable` or `BadInput`."""
        ...
