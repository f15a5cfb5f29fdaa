"""A caller's order for a charge, and the check that the provider can charge it."""

from dataclasses import dataclass
from typing import Literal

from billing.errors import BadInput, ErrorCode
from billing.flows.policy import Policy
from billing.plans.currencies import CurrencyError, charge_limit, charge_step, check_sold
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
    try:
        check_sold(order.currency)
    except CurrencyError as error:
        raise BadInput(str(error), where="currency") from error
    amount = Money(order.amount, order.currency)
    least = max(1, policy.minimum_amounts.get(order.currency, 0))
    if amount.amount < least:
        raise BadInput(
            f"{amount} is below the least that can be charged, {Money(least, order.currency)}",
            where="amount",
            code=ErrorCode.AMOUNT_BELOW_MINIMUM,
            minor_units=least,
            minimum=Money(least, order.currency),
        )
    most = charge_limit(order.currency)
    if amount.amount > most:
        raise BadInput(
            f"{amount} is above the most that can be charged at once,"
            f" {Money(most, order.currency)}",
            where="amount",
            code=ErrorCode.AMOUNT_ABOVE_MAXIMUM,
            minor_units=most,
            maximum=Money(most, order.currency),
        )
    if amount.amount % charge_step(order.currency):
        raise BadInput(
            f"{amount} can't be paid in {order.currency}: its last digit has to be 0",
            where="amount",
        )
    return amount
