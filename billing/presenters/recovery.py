"""What a recovery does with an object, in words."""

from collections.abc import Mapping
from typing import Final

from billing.flows.recovery.adopting import Result
from billing.flows.recovery.finding import Item, ObjectKind, Plan, Why

_WHY: Final[Mapping[Why, str]] = {
    Why.SUBSCRIPTION_UNKNOWN: "its subscription isn't here: make it again, and refund or keep this",
    Why.CUSTOMER_UNKNOWN: "its customer isn't here",
    Why.PAYMENT_UNKNOWN: "its payment isn't here",
    Why.NO_CYCLE: "its subscription has no such period here: it ended, or can't be opened",
    Why.NOT_COLLECTED: "its payment isn't collected any more: the settlement books it",
    Why.NO_PAYMENT_METHOD: "its customer has no payment method here or at the provider",
    Why.NOT_FOUND_AGAIN: "the provider's lists don't show its attempt",
}
_DONE: Final[Mapping[Result, str]] = {
    Result.ADOPTED: "adopted",
    Result.OPEN: "open: the provider's answer isn't definite, it is asked for again",
    Result.PASSED_OVER: "passed over",
    Result.HELD: "holds the recovery up",
}


def planned(item: Item) -> str:
    """Return what will be done with an object."""
    if item.plan is Plan.PASS_OVER:
        return "pass over: " + (_WHY[item.why] if item.why else "it can't be placed")
    if item.kind is ObjectKind.PAYMENT and item.subscription is not None:
        return "adopt, with its cycle"
    return "adopt"


def done(result: Result, why: Why | None) -> str:
    """Return what was done with an object."""
    return _DONE[result] + (f": {_WHY[why]}" if why else "")
