"""The decisions on a payment, in sentences."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from billing.presenters.text import at
from billing.rules.decisions import DecisionKind
from billing.rules.dunning import DeclineClass
from billing.rules.money import Money
from billing.rules.periods import to_local

Facts = Mapping[str, Any]


def in_words(decision: str | None, facts: Facts) -> str | None:
    """Return a stored decision as a sentence, or None where there is none.

    Rows of earlier versions hold a sentence instead of a kind: that is returned as it is.
    """
    try:
        kind = DecisionKind(decision or "")
    except ValueError:
        return decision
    return _WORDS[kind](facts)


def with_sentence(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record of a payment or an attempt with its decision as a sentence.

    Records without a decision's facts are returned as they are.
    """
    shown = dict(record)
    if "decision_facts" in shown:
        shown["decision"] = in_words(shown["decision"], shown.pop("decision_facts"))
    return shown


def _always(words: str) -> Callable[[Facts], str]:
    return lambda _facts: words


_CLASSES: Final[Mapping[DeclineClass, str]] = {
    DeclineClass.SOFT: "soft",
    DeclineClass.NEEDS_CUSTOMER: "for the customer to put right",
    DeclineClass.HARD: "hard",
}
_THEN: Final = {
    "cancel": "the subscription is canceled",
    "unpaid": "the subscription becomes unpaid",
}


def _why(facts: Facts) -> str:
    return f"{facts['code'] or 'the decline'} is {_CLASSES[DeclineClass(facts['decline_class'])]}"


def _moment(facts: Facts, name: str) -> str:
    zone = facts["zone"]
    return f"{to_local(datetime.fromisoformat(facts[name]), zone):%Y-%m-%d %H:%M} {zone}"


def _retry(facts: Facts) -> str:
    held = ""
    if "held_until" in facts:
        held = (
            f"; held until {_moment(facts, 'held_until')}: the card's budget is"
            f" {facts['budget_attempts']} attempts in {facts['budget_days']} days,"
            f" {facts['budget_hours_apart']} h apart"
        )
    return (
        f"{_why(facts)}; rung {facts['rung']} of {facts['rungs']}; next attempt in {facts['step']}"
        f" on {_moment(facts, 'at')}{held}{_gives_up(facts)}"
    )


def _gives_up(facts: Facts) -> str:
    if "gives_up_at" not in facts:
        return ""
    return f"; given up at {_instant(facts, 'gives_up_at')}, when the ladder ends"


def _ladder_over(facts: Facts) -> str:
    rungs = facts["rungs"]
    spent = f"all {rungs} rungs are used" if rungs else "the plan has no later attempts"
    return f"{_why(facts)}; {spent}; {_THEN[facts['then']]}"


def _instant(facts: Facts, name: str) -> str:
    return at(datetime.fromisoformat(facts[name]))


def _money(facts: Facts, name: str) -> str:
    return str(Money(facts[name], facts["currency"]))


def _captured(facts: Facts) -> str:
    return f"{_money(facts, 'captured')} of {_money(facts, 'authorised')} captured"


def _voided_invoice(facts: Facts) -> str:
    if facts.get("subscription_canceled"):
        return f"void: subscription canceled: {facts['why']}"
    return f"void: {facts['why']}"


_NOTHING_EXECUTED: Final = "the provider's lists prove that nothing was executed"
_WORDS: Final[Mapping[DecisionKind, Callable[[Facts], str]]] = {
    DecisionKind.RETRY: _retry,
    DecisionKind.WAIT_FOR_CUSTOMER: lambda facts: (
        f"{_why(facts)}; no attempt until the payment method changes, then at once; without a"
        f" change until {_moment(facts, 'until')} {_THEN[facts['then']]}"
    ),
    DecisionKind.HARD_DECLINE: lambda facts: (
        f"{_why(facts)}; no further attempt; {_THEN[facts['then']]}"
    ),
    DecisionKind.LADDER_OVER: _ladder_over,
    DecisionKind.METHOD_CHANGED_MEANWHILE: lambda facts: (
        f"{facts['code']}; the payment method was changed meanwhile: tried again at once"
    ),
    DecisionKind.CANCELED_MEANWHILE: lambda facts: (
        f"{facts['code']}; no further attempt: the subscription was canceled meanwhile"
    ),
    DecisionKind.NO_LADDER: lambda facts: (
        f"{facts['code']}; a charge without an invoice has no ladder"
    ),
    DecisionKind.CUSTOMER_DID_NOTHING: _always(
        "the customer did not act before the ladder was over"
    ),
    DecisionKind.CANCELED_BEFORE: _always(
        "nothing was collected before the subscription was canceled"
    ),
    DecisionKind.METHOD_CHANGED: _always(
        "the payment method was changed: tried again at once, no rung is used"
    ),
    DecisionKind.RETRIED_BY_HAND: lambda facts: f"retried by {facts['actor']}: {facts['why']}",
    DecisionKind.HELD_BY_BUDGET: lambda facts: (
        "the payment method's budget of attempts allows the next one at"
        f" {_instant(facts, 'allowed_at')}{_gives_up(facts)}"
    ),
    DecisionKind.LADDER_ENDED: lambda facts: (
        f"the ladder ended at {_instant(facts, 'ends_at')}; the payment method's budget of attempts"
        " allowed no more of them"
    ),
    DecisionKind.CAPTURED: _always("captured"),
    DecisionKind.REQUEST_REFUSED: _always("parked: the request itself was refused"),
    DecisionKind.CANCELED_AT_PROVIDER: _always(
        "the payment was canceled at the provider: nothing can be charged over it any more"
    ),
    DecisionKind.ABSENT: _always(f"{_NOTHING_EXECUTED}: a new attempt follows, no rung is used"),
    DecisionKind.ABSENT_AND_CANCELED: _always(
        f"{_NOTHING_EXECUTED}: no other attempt follows, the subscription was canceled meanwhile"
    ),
    DecisionKind.INVOICE_VOIDED: _voided_invoice,
    DecisionKind.FOUND_IN_SETTLEMENT: lambda facts: (
        f"found in the provider's settlement: {facts['transaction']}"
    ),
    DecisionKind.CORRECTED_BY_SETTLEMENT: _always(
        "captured: corrected by the provider's settlement"
    ),
    DecisionKind.AUTHORISED: lambda facts: (
        f"authorised until {_instant(facts, 'until')}, to be captured or voided"
    ),
    DecisionKind.CAPTURE_REQUESTED: lambda facts: (
        f"{facts['actor']} asked for the capture of {_money(facts, 'amount')}"
    ),
    DecisionKind.VOID_REQUESTED: lambda facts: f"voided by {facts['actor']}: {facts['why']}",
    DecisionKind.REQUEST_WITHDRAWN: lambda facts: (
        f"voided by {facts['actor']}: the request was refused: {facts['error']}"
    ),
    DecisionKind.AUTHORISATION_CAPTURED: _captured,
    DecisionKind.CAPTURED_BEFORE_VOID: lambda facts: (
        f"{_captured(facts)} at the provider before it could be voided"
    ),
    DecisionKind.CAPTURE_DECLINED: lambda facts: f"the capture was declined: {facts['code']}",
    DecisionKind.CAPTURE_REFUSED: lambda facts: (
        f"the capture was refused: {facts['error_class']}: {facts['message']}"
    ),
    DecisionKind.AUTHORISATION_GONE: lambda facts: f"the authorisation is gone: {facts['message']}",
    DecisionKind.AUTHORISATION_EXPIRED: lambda facts: (
        f"the authorisation expired on {_instant(facts, 'expired_at')}"
    ),
}
