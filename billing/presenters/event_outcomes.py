"""What came of an event, in a sentence."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from billing.flows.webhooks.results import EventOutcome

Facts = Mapping[str, Any]


def came_of(handling: str | None, facts: Facts) -> str | None:
    """Return what came of an event in words; None while it is due.

    Rows of earlier versions hold a sentence instead of a code: that is returned as it is.
    """
    try:
        outcome = EventOutcome(handling or "")
    except ValueError:
        return handling
    return _WORDS[outcome](facts)


def _always(words: str) -> Callable[[Facts], str]:
    return lambda _facts: words


def _refunds(facts: Facts) -> str:
    return "; ".join(
        f"refund {refund_id} is {str(state).replace('_', ' ')}"
        for refund_id, state in facts.items()
    )


def _method_added(facts: Facts) -> str:
    if not facts["default"]:
        return "an older payment method than the one that is charged: kept, not charged"
    return f"a new payment method{_retried(facts)}"


def _method_updated(facts: Facts) -> str:
    if not facts["default"]:
        return "the payment method was updated; it is not the one that is charged"
    return f"the payment method was updated{_retried(facts)}"


def _method_detached(facts: Facts) -> str:
    if facts["default"]:
        return "detached: the customer has no payment method to charge any more"
    return "detached; it was not the one that is charged"


def _retried(facts: Facts) -> str:
    retried = facts["payments_retried"]
    return f": {retried} payments are tried again" if retried else ""


_WORDS: Final[Mapping[EventOutcome, Callable[[Facts], str]]] = {
    EventOutcome.IGNORED: _always("ignored: events of this kind are not handled"),
    EventOutcome.OBJECT_GONE: _always("the provider has no such object any more"),
    EventOutcome.NOT_OURS: _always("it is about nothing of ours"),
    EventOutcome.UNCHANGED: _always("both sides agree: nothing changed"),
    EventOutcome.ALREADY_BOOKED: _always("booked already"),
    EventOutcome.ANSWER_ADOPTED: lambda facts: (
        f"attempt {facts['attempt']} adopted the answer: {facts['answer']}"
    ),
    EventOutcome.ATTEMPT_NOT_THERE: lambda facts: (
        f"attempt {facts['attempt']} is not among the provider's charges"
    ),
    EventOutcome.AUTHORIZATION_ENDED: lambda facts: (
        f"the authorised payment is {facts['state']}, as the provider says"
    ),
    EventOutcome.CAPTURE_UNDONE: lambda facts: (
        f"the settlement was declined ({facts['code']}): the capture is undone, and the payment is"
        " collected again"
    ),
    EventOutcome.BREAK_RECORDED: lambda facts: f"recorded as a break: {facts['kind']}",
    EventOutcome.REFUND_APPLIED: _refunds,
    EventOutcome.DISPUTE_APPLIED: lambda facts: (
        f"the dispute is {facts['state']}, {facts['entries']} entries posted"
    ),
    EventOutcome.PAYOUT_RECORDED: lambda facts: f"the payout is {facts['status']}",
    EventOutcome.METHOD_ADDED: _method_added,
    EventOutcome.METHOD_UPDATED: _method_updated,
    EventOutcome.METHOD_DETACHED: _method_detached,
    EventOutcome.METHOD_NOT_KEPT: _always("a payment method that is not kept here"),
    EventOutcome.DEFAULT_KEPT: _always(
        "another default at the provider; the payment method that we were told to charge stays"
    ),
    EventOutcome.DEFAULT_RESTORED: lambda facts: (
        f"the provider's default is charged again{_retried(facts)}"
    ),
}
