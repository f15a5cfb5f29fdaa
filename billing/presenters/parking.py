"""Why something is parked, in sentences."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from billing.presenters.text import amount
from billing.rules.subscriptions import CatchUpReason, ParkedReason
from billing.tax import UndecidedReason

Facts = Mapping[str, Any]


def in_words(reason: str | None, error: str | None, facts: Facts) -> str | None:
    """Return why something is parked: the error that was met, or a sentence of reason and facts.

    The reasons that have facts are a subscription's; a payment is parked with an error.
    """
    if error is not None or reason is None:
        return error
    return _WORDS[ParkedReason(reason)](facts)


def with_sentence(record: Mapping[str, Any], error: str, reason: str, facts: str) -> dict[str, Any]:
    """Return a record with its error as a sentence, under these names; without the facts."""
    shown = dict(record)
    if facts in shown:
        shown[error] = in_words(shown[reason], shown[error], shown.pop(facts))
    return shown


def _missed(facts: Facts) -> str:
    missed = facts["missed"]
    periods = "1 missed period" if missed == 1 else f"{missed} missed periods"
    match CatchUpReason(facts["catch_up"]):
        case CatchUpReason.PLAN_PARKS:
            why = f"{periods}; the plan says to park"
        case _:
            why = f"{periods}, more than the cap of {facts['cap']} that are billed at once"
    return f"{why}: release it with --bill or --skip"


def _schedule_changed(facts: Facts) -> str:
    starts = datetime.fromisoformat(facts["starts"])
    was_due = datetime.fromisoformat(facts["was_due"])
    return f"cycle {facts['n']} starts at {starts} by its schedule but was due at {was_due}"


def _tax_undecided(facts: Facts) -> str:
    country, tax_class = facts["country"], facts["tax_class"]
    match UndecidedReason(facts["why"]):
        case UndecidedReason.PLACE_MISSING:
            what = "it isn't known in which country the customer is"
        case UndecidedReason.REGION_MISSING:
            what = f"taxes in {country} depend on the region, and the customer's isn't known"
        case UndecidedReason.RATE_MISSING:
            what = f"no rate of the class {tax_class} is published for {country}"
        case UndecidedReason.ANSWER_MISSING:
            what = "the provider that computes them hasn't answered yet"
        case UndecidedReason.PLACE_REFUSED:
            what = f"the provider can't tell where in {country} the customer is"
        case UndecidedReason.VAT_ID_REFUSED:
            what = "the provider says that the customer's VAT id can't be one"
        case _:
            what = f"the provider computes none in {country}"
    return f"the taxes can't be decided: {what}"


_WORDS: Final[Mapping[ParkedReason, Callable[[Facts], str]]] = {
    ParkedReason.PLAN_MISSING: lambda facts: f"plan {facts['plan']} is not published",
    ParkedReason.SCHEDULE_CHANGED: _schedule_changed,
    ParkedReason.CATCH_UP: _missed,
    ParkedReason.TAX_UNDECIDED: _tax_undecided,
    ParkedReason.ABOVE_MAXIMUM: lambda facts: (
        f"{amount(facts['total'], facts['currency'])} is above the"
        f" {amount(facts['maximum'], facts['currency'])} that can be charged at once"
    ),
    ParkedReason.BELOW_MINIMUM: lambda facts: (
        f"{amount(facts['total'], facts['currency'])} is below the provider's minimum of"
        f" {amount(facts['minimum'], facts['currency'])}"
    ),
}
