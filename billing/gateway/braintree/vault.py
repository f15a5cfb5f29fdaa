"""Customers and their payment methods at Braintree."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from billing.errors import BadInput
from billing.gateway.braintree.client import (
    LOOK_BACK,
    BraintreeClient,
    ParsedAnswer,
    created_in,
    segment,
)
from billing.gateway.braintree.faults import RequestFaulted, as_error, unreadable, where_of
from billing.gateway.braintree.fields import metadata as metadata_of
from billing.gateway.braintree.objects import methods_of, read_customer, read_method
from billing.gateway.braintree.requests import custom_fields, own_id
from billing.gateway.objects import PaymentMethodDetails, ProviderCustomer
from billing.gateway.outcomes import Absent
from billing.gateway.transport import Deadline
from billing.gateway.untrusted import required

_CUSTOMER_TAKEN: Final = "91609"
_TOKEN_TAKEN: Final = frozenset({"91719", "92906"})
# No nonce of this name, or one that was used: it may be a payment method, or have become one.
_NO_NONCE: Final = frozenset({"91564", "91565", "91731", "91732", "93102", "93107", "93108"})
_METHODS: Final = "/payment_methods/any"


class Vault(BraintreeClient):
    """Makes and reads customers and payment methods.

    The id of a customer follows from the key that they are made under, the token of a payment
    method from its customer and its nonce: what is made again is taken already, and returned.
    """

    def create_customer(
        self, *, name: str, email: str | None, metadata: Mapping[str, str], idempotency_key: str
    ) -> str:
        """Create the provider's customer and return its id."""
        own = own_id(idempotency_key)
        params: dict[str, object] = {"id": own, "first_name": name}
        if email:
            params["email"] = email
        fields = custom_fields(metadata)
        if fields:
            params["custom_fields"] = fields
        deadline = Deadline(self._seconds)
        try:
            answer = self._send(
                "create_customer", "post", "/customers", {"customer": params}, deadline
            )
            return _customer_id(answer)
        except RequestFaulted as failed:
            if _CUSTOMER_TAKEN not in failed.fault.codes:
                raise as_error(failed.fault) from None
        found = self.customer_by_id(own)
        if found is None:
            raise unreadable(own, "its id is taken, but it isn't there", None)
        return found.id

    def look_up_customer(self, metadata: Mapping[str, str], *, since: datetime) -> str | Absent:
        """Return the id of the customer that carries the metadata, the first one made."""
        wanted = metadata_of({"custom_fields": custom_fields(metadata)})
        criteria = created_in(since - LOOK_BACK, None)
        try:
            found = [
                customer
                for customer in self._search("look_up", "customers", criteria, None).all()
                if wanted and wanted.items() <= metadata_of(customer).items()
            ]
        except RequestFaulted as failed:
            raise as_error(failed.fault) from None
        return required(found[-1], "id") if found else Absent()

    def attach_payment_method(
        self, provider_customer_id: str, token: str, *, idempotency_key: str
    ) -> PaymentMethodDetails:
        """Vault what a nonce stands for, and return what the customer recognises it by.

        A nonce is good for once: one that the customer used already returns what it became, under
        any key. So does the token of a payment method that the customer has.
        """
        own = own_id(f"{provider_customer_id} {token}")
        params = {"customer_id": provider_customer_id, "payment_method_nonce": token, "token": own}
        deadline = Deadline(self._seconds)
        try:
            answer = self._send(
                "attach_payment_method",
                "post",
                "/payment_methods",
                {"payment_method": params},
                deadline,
            )
            return self._attached(answer, token)
        except RequestFaulted as failed:
            fault = failed.fault
        if fault.codes & _TOKEN_TAKEN:
            names: tuple[str, ...] = (own,)
        elif fault.codes & _NO_NONCE:
            # Earlier releases made the token of the key.
            names = (own, own_id(f"{provider_customer_id} {idempotency_key}"), token)
        else:
            raise as_error(fault)
        for name in names:
            found = self.payment_method_by_id(name)
            if found is not None and found.provider_customer_id == provider_customer_id:
                return found
        raise as_error(fault)

    def payment_method_by_id(self, token: str) -> PaymentMethodDetails | None:
        """Return the payment method as it is now, or None; None too for what can't be charged."""
        return self._find(_METHODS, token, read_method)

    def payment_methods_of(self, provider_customer_id: str) -> Sequence[PaymentMethodDetails]:
        """Return the payment methods of a customer, the newest first."""
        path = f"/customers/{segment(provider_customer_id)}"
        answer = self._ask("list_payment_methods", "get", path, None)
        try:
            return methods_of(answer.data)
        except ValueError as error:
            raise unreadable(provider_customer_id, str(error), answer.request_id) from error

    def customer_by_id(self, provider_customer_id: str) -> ProviderCustomer | None:
        """Return the customer as it is now, or None."""
        return self._find("/customers", provider_customer_id, read_customer)

    def _attached(self, answer: ParsedAnswer, token: str) -> PaymentMethodDetails:
        try:
            found = read_method(answer.name, answer.data)
        except ValueError as error:
            raise unreadable("the request", str(error), answer.request_id) from error
        if found is None:
            raise BadInput(
                f"{token} is neither a card nor a PayPal account",
                where=where_of(answer.request_id),
                remedy="ask the customer for one; other kinds of payment aren't collected",
            )
        return found


def _customer_id(answer: ParsedAnswer) -> str:
    try:
        return required(answer.data, "id")
    except ValueError as error:
        raise unreadable("the request", str(error), answer.request_id) from error
