"""Read-only calls to Stripe: objects by their id, lists, the balance."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

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
from billing.gateway.stripe.client import Client, segment, unreadable, window
from billing.gateway.stripe.methods import MANDATE, read_mandate, read_payment_method
from billing.gateway.stripe.objects import (
    movement_in,
    read_balance,
    read_balance_transaction,
    read_charge,
    read_customer,
    read_dispute,
    read_event,
    read_payment,
    read_payout,
    read_refund,
)
from billing.gateway.untrusted import Malformed


class Reads(Client):
    """Reads objects as they are now; lists are consistent at once and come newest first."""

    def payment(self, provider_payment_id: str) -> ProviderPayment | None:
        """Return the payment as it is now, or None."""
        return self._find("/v1/payment_intents", provider_payment_id, read_payment)

    def refund_by_id(self, provider_refund_id: str) -> ProviderRefund | None:
        """Return the refund as it is now, or None."""
        return self._find("/v1/refunds", provider_refund_id, read_refund)

    def dispute_by_id(self, provider_dispute_id: str) -> ProviderDispute | None:
        """Return the dispute as it is now, or None."""
        return self._find("/v1/disputes", provider_dispute_id, read_dispute)

    def payout_by_id(self, provider_payout_id: str) -> ProviderPayout | None:
        """Return the payout as it is now, or None."""
        return self._find("/v1/payouts", provider_payout_id, read_payout)

    def payment_method_by_id(self, token: str) -> PaymentMethodDetails | None:
        """Return the payment method as it is now, or None; None too for one that isn't charged.

        An event may name the mandate: then it is the payment method that the mandate is for.
        """
        if token.startswith(MANDATE):
            expanded = {"expand": ["payment_method"]}
            return self._find("/v1/mandates", token, read_mandate, expanded)
        return self._find("/v1/payment_methods", token, read_payment_method)

    def payment_methods_of(self, provider_customer_id: str) -> Sequence[PaymentMethodDetails]:
        """Return the payment methods of a customer that can be charged, the newest first."""
        path = f"/v1/customers/{segment(provider_customer_id)}/payment_methods"
        pages = self._list("list_payment_methods", path, {}, read_payment_method)
        return [each for page in pages for each in page if each is not None]

    def customer_by_id(self, provider_customer_id: str) -> ProviderCustomer | None:
        """Return the customer as it is now, or None."""
        return self._find("/v1/customers", provider_customer_id, read_customer)

    def list_charges(
        self, *, since: datetime, until: datetime | None = None
    ) -> Iterator[Sequence[ProviderCharge]]:
        """Yield pages of charges."""
        return self._list("list_charges", "/v1/charges", window(since, until), read_charge)

    def list_refunds(
        self, *, since: datetime | None, until: datetime | None = None, charge: str | None = None
    ) -> Iterator[Sequence[ProviderRefund]]:
        """Yield pages of refunds; with `charge` only those of that charge."""
        params = dict(window(since, until))
        if charge is not None:
            params["charge"] = charge
        return self._list("list_refunds", "/v1/refunds", params, read_refund)

    def list_customers(
        self, *, since: datetime, until: datetime | None = None
    ) -> Iterator[Sequence[ProviderCustomer]]:
        """Yield pages of customers."""
        return self._list("list_customers", "/v1/customers", window(since, until), read_customer)

    def list_disputes(
        self, *, since: datetime, until: datetime | None = None
    ) -> Iterator[Sequence[ProviderDispute]]:
        """Yield pages of disputes."""
        return self._list("list_disputes", "/v1/disputes", window(since, until), read_dispute)

    def list_payouts(
        self, *, since: datetime, until: datetime | None = None
    ) -> Iterator[Sequence[ProviderPayout]]:
        """Yield pages of payouts."""
        return self._list("list_payouts", "/v1/payouts", window(since, until), read_payout)

    def list_balance_transactions(
        self,
        *,
        since: datetime | None,
        until: datetime | None = None,
        after: str | None = None,
        payout: str | None = None,
    ) -> Iterator[Sequence[BalanceTransaction]]:
        """Yield pages of movements on the balance, from `after` on towards older ones."""
        params: dict[str, object] = {**window(since, until), "expand": ["data.source"]}
        if payout is not None:
            params["payout"] = payout
        if after is not None:
            params["starting_after"] = after
        return self._list(
            "list_balance_transactions",
            "/v1/balance_transactions",
            params,
            read_balance_transaction if payout is None else movement_in(payout),
        )

    def list_events(
        self, *, since: datetime, undelivered_only: bool = False
    ) -> Iterator[Sequence[ProviderEvent]]:
        """Yield pages of events; Stripe keeps them for 30 days."""
        params = dict(window(since, None))
        if undelivered_only:
            params["delivery_success"] = False
        return self._list("list_events", "/v1/events", params, read_event)

    def balance(self) -> Mapping[str, int]:
        """Return what Stripe owes us by currency, available and pending together."""
        answer = self._ask("balance", "get", "/v1/balance", {})
        try:
            return read_balance(answer.data)
        except Malformed as error:
            raise unreadable("the balance", str(error), answer.request_id) from error
