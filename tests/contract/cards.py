"""Short ways to say what the contract tests do all the time."""

from typing import Any

import pytest
import stripe


def customer_with(client: stripe.StripeClient, token: str = "pm_card_visa") -> tuple[str, str]:
    """Return the ids of a new customer and of the payment method attached to it."""
    customer = client.v1.customers.create({"name": "Ada Lovelace", "email": "ada@example.com"})
    method = client.v1.payment_methods.attach(token, {"customer": customer.id})
    return customer.id, method.id


def charge(
    client: stripe.StripeClient,
    customer: str,
    method: str,
    key: str | None = None,
    **more: Any,
) -> stripe.PaymentIntent:
    """Create and confirm a PaymentIntent of 20.00 USD, off session."""
    wanted: Any = {
        "amount": 2000,
        "currency": "usd",
        "customer": customer,
        "payment_method": method,
        "payment_method_types": ["card"],
        "confirm": True,
        "off_session": True,
        "metadata": {"payment": "pay-1"},
        **more,
    }
    return client.v1.payment_intents.create(wanted, {"idempotency_key": key} if key else {})


def declined(client: stripe.StripeClient, customer: str, method: str, **more: Any) -> Any:
    """Charge a card that declines; return Stripe's error object."""
    with pytest.raises(stripe.CardError) as caught:
        charge(client, customer, method, **more)
    assert caught.value.http_status == 402
    return caught.value.error


def captures(client: stripe.StripeClient) -> int:
    """Return how many charges went through, as the provider's own list says."""
    return sum(1 for item in client.v1.charges.list({"limit": 100}).data if item.captured)
