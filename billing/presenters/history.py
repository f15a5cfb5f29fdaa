"""The events of a subscription's history, in sentences."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from billing.presenters import changes, decisions, parking
from billing.presenters.text import at
from billing.rules.money import Money
from billing.rules.subscriptions import SubscriptionEventKind

Facts = Mapping[str, Any]


def in_words(kind: str, words: str | None, facts: Facts) -> str:
    """Return an event as a sentence.

    Rows of earlier versions hold the sentence: that is returned as it is, of whatever kind they
    are.
    """
    return words if words is not None else _WORDS[SubscriptionEventKind(kind)](facts)


def _created(facts: Facts) -> str:
    imported = ""
    if "billed_from" in facts:
        imported = f"; what was before {_instant(facts, 'billed_from')} was billed elsewhere"
    return (
        f"subscribed to {facts['plan']} ({facts['plan_version']}) in {facts['currency']}, first"
        f" period from {_instant(facts, 'starts')}{imported}"
    )


def _given_up(ended: str) -> Callable[[Facts], str]:
    return lambda facts: f"{facts['before']} -> {ended}: {_decision(facts)}"


def _unpaid(facts: Facts) -> str:
    if "decision" in facts:
        return _given_up("unpaid")(facts)
    return f"{facts['before']} -> unpaid: its last paid period is over"


def _canceled(facts: Facts) -> str:
    if "decision" in facts:
        return _given_up("canceled")(facts)
    why = facts.get("why", "its last paid period is over")
    return f"{facts['before']} -> canceled: {why}"


def _paused(facts: Facts) -> str:
    until = f" until {_instant(facts, 'until')}" if "until" in facts else ""
    return f"{facts['before']} -> paused{until}: {facts['why']}"


def _resumed(facts: Facts) -> str:
    if "skipped" in facts:
        return f"unpaid -> active, {facts['skipped']} missed periods skipped: {facts['why']}"
    return f"paused -> {facts['after']}: {facts['why']}"


def _released(facts: Facts) -> str:
    match facts["missed"]:
        case "skip":
            return f"released; {facts['periods']} missed periods skipped"
        case "bill":
            return f"released; {facts['periods']} periods billed"
        case _:
            return "released"


def _corrected(facts: Facts) -> str:
    told = "the provider had charged the customer after all"
    if facts["canceled"]:
        return f"{told}: the subscription stays canceled, look whether to refund"
    return told


_ON_DISPUTE: Final[Mapping[str, str]] = {
    "continue": "it goes on",
    "pause": "it is paused",
    "cancel": "it ends with what is paid",
}


def _dispute_lost(facts: Facts) -> str:
    amount = Money(facts["amount"], facts["currency"])
    follows = _ON_DISPUTE[facts["on_dispute"]]
    return f"a dispute of {amount} was lost ({facts['reason']}); by its plan {follows}"


def _periods(facts: Facts) -> str:
    return f"; {changes.periods(facts['periods'])}" if "periods" in facts else ""


def _decision(facts: Facts) -> str | None:
    return decisions.in_words(facts["decision"], facts["decision_facts"])


def _instant(facts: Facts, name: str) -> str:
    return at(datetime.fromisoformat(facts[name]))


_CUSTOMERS: Final = "its customer's account"
_WORDS: Final[Mapping[SubscriptionEventKind, Callable[[Facts], str]]] = {
    SubscriptionEventKind.CREATED: _created,
    SubscriptionEventKind.ACTIVE: lambda facts: (
        f"{facts['before']} -> {facts['after']}: "
        + ("its first period began" if facts["before"] == "scheduled" else "the trial is over")
    ),
    SubscriptionEventKind.PLAN_VERSION: lambda facts: (
        f"moved from the terms of {facts['before']} to those of {facts['after']}"
    ),
    SubscriptionEventKind.PAST_DUE: lambda facts: (
        f"{facts['before']} -> past_due: {facts['decline_code']}. {_decision(facts)}"
    ),
    SubscriptionEventKind.RECOVERED: lambda facts: (
        f"{facts['before']} -> {facts.get('after', 'active')}: the open payment was captured"
    ),
    SubscriptionEventKind.UNPAID: _unpaid,
    SubscriptionEventKind.UNPAID_AT_PERIOD_END: lambda facts: (
        f"will be unpaid at {_instant(facts, 'ends_at')}: {_decision(facts)}"
    ),
    SubscriptionEventKind.PAUSED: _paused,
    SubscriptionEventKind.RESUMES_LATER: lambda facts: (
        f"paused until {_instant(facts, 'at_instant')}: {facts['why']}"
    ),
    SubscriptionEventKind.RESUMED: _resumed,
    SubscriptionEventKind.CANCEL_AT_PERIOD_END: lambda facts: (
        f"will be canceled at {_instant(facts, 'ends_at')}: {facts.get('why') or _decision(facts)}"
    ),
    SubscriptionEventKind.KEPT: lambda facts: f"goes on after all: {facts['why']}",
    SubscriptionEventKind.CANCELED: _canceled,
    SubscriptionEventKind.CHANGE_SCHEDULED: lambda facts: (
        f"from {_instant(facts, 'holds_from')} on {changes.terms(facts['after'])}, before"
        f" {changes.terms(facts['before'])}{_periods(facts)}: {facts['why']}"
    ),
    SubscriptionEventKind.CHANGED: lambda facts: (
        f"{changes.terms(facts['before'])} -> {changes.terms(facts['after'])}{_periods(facts)}:"
        f" {facts['why']}"
    ),
    SubscriptionEventKind.CHANGE_WITHDRAWN: lambda facts: (
        f"change {facts['change_id']} was withdrawn: {facts['why']}"
    ),
    SubscriptionEventKind.PARKED: lambda facts: (
        f"parked ({facts['reason']}):"
        f" {parking.in_words(facts['reason'], facts['error'], facts['facts'])}"
    ),
    SubscriptionEventKind.RELEASED: _released,
    SubscriptionEventKind.REANCHORED: lambda facts: (
        f"the next period was announced for {_instant(facts, 'announced')} and starts then; by the"
        f" rules of its zone as they are today that is {_instant(facts, 'by_schedule')}:"
        f" {facts['why']}"
        if not facts["moved"]
        else f"its start was moved from {_instant(facts, 'announced')} to"
        f" {_instant(facts, 'by_schedule')}, as its zone is today: {facts['why']}"
    ),
    SubscriptionEventKind.COUPON_REDEEMED: lambda facts: (
        f"coupon {facts['coupon']} was redeemed: {facts['why']}"
    ),
    SubscriptionEventKind.ACCOUNT_CHANGED: lambda facts: (
        f"collected over {facts['after'] or _CUSTOMERS}, before over"
        f" {facts['before'] or _CUSTOMERS}: {facts['why']}"
    ),
    SubscriptionEventKind.USAGE_ALERT: lambda facts: (
        f"usage of {facts['item']} in period {facts['n']} passed {facts['percent']} % of what is"
        f" included: {facts['quantity']} of {facts['included']}"
    ),
    SubscriptionEventKind.DISPUTE_LOST: _dispute_lost,
    SubscriptionEventKind.CORRECTED: _corrected,
}
