"""A caller's order for a charge, and the check that the provider can charge it."""

from dataclasses import dataclass
from typing import Literal

from billing.flows.invoices.asking import check_amount, check_currency
from billing.flows.policy import Policy
from billing.rules.money import Money

Capture = Literal["automatic", "manual"]


@dataclass(frozen=True, slots=True)
class ChargeOrder:
    """The charge to make. `customer` is an id or external id, `payment_source` a payment method's
    token or id; one of the two is enough, and a customer's default is taken.
    """

    amount: int
    currency: str
    customer: str | None = None
    payment_source: str | None = None
    capture: Capture = "automatic"
    description: str = ""


def chargeable(order: ChargeOrder, policy: Policy) -> Money:
    """Return the amount, if the provider could charge it. Raises `BadInput`."""
    check_currency(order.currency)
    amount = Money(order.amount, order.currency)
    check_amount(amount, policy, "amount")
    return amount
