"""What a recovery does with an object, in words."""

from collections.abc import Mapping
from typing import Final

from billing.flows.recovery.finding import (
    AdoptionResult,
    RecoveredKind,
    RecoveryItem,
    RecoveryPlan,
    Why,
)

_WHY: Final[Mapping[Why, str]] = {
    Why.SUBSCRIPTION_UNKNOWN: "its subscription isn't here: make it again, and refund or keep this",
    Why.CUSTOMER_UNKNOWN: "its customer isn't here",
    Why.PAYMENT_UNKNOWN: "its payment isn't here",
    Why.NO_CYCLE: "its subscription bills no such period here: it ended, or was paused",
    Why.CANNOT_OPEN: "its period can't be opened: publish a catalog by which it can",
    Why.CANNOT_CHANGE: "its change can't be made again: publish a catalog by which it can",
    Why.OTHER_CHANGE: "its change comes to something else here: make it at the period's end",
    Why.OTHER_NUMBER: "its invoice has another number here than its charge names",
    Why.WITHOUT_INVOICE: "its invoice can't be issued again: it is a charge without one here",
    Why.WITHOUT_NOTE: "its credit note isn't here: it is a refund without one",
    Why.UNPAID: "its subscription is unpaid here: resume it, or cancel it",
    Why.OTHER_PERIODS: "its subscription's periods begin at other instants here: cancel it",
    Why.NOT_COLLECTED: "its payment isn't collected any more: the settlement books it",
    Why.NO_PAYMENT_METHOD: "its customer has no payment method here or at the provider",
    Why.NOT_FOUND_AGAIN: "the provider's lists don't show its attempt",
}
_DONE: Final[Mapping[AdoptionResult, str]] = {
    AdoptionResult.ADOPTED: "adopted",
    AdoptionResult.OPEN: "open: the provider's answer isn't definite, it is asked for again",
    AdoptionResult.PARKED: "parked: the provider did something else than is asked for here",
    AdoptionResult.PASSED_OVER: "passed over",
    AdoptionResult.HELD: "holds the recovery up",
}


def planned(item: RecoveryItem) -> str:
    """Return what will be done with an object."""
    if item.plan is RecoveryPlan.HOLD:
        return "hold the recovery up" + (f": {_WHY[item.why]}" if item.why else "")
    if item.plan is RecoveryPlan.PASS_OVER:
        return "pass over: " + (_WHY[item.why] if item.why else "it can't be placed")
    if item.kind is RecoveredKind.PAYMENT and item.subscription is not None:
        return "adopt, with its cycle"
    return "adopt"


def done(result: AdoptionResult, why: Why | None) -> str:
    """Return what was done with an object."""
    return _DONE[result] + (f": {_WHY[why]}" if why else "")
