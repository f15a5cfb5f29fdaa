"""The explanation of a payment or a subscription in sentences, a section a step.

The way is always the same: the terms and why those, the schedule, the invoice, the attempts, what
comes next, the journal, and what holds the cycle open.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from billing.presenters.explain_books import cycle, journal, money_back, revenue
from billing.presenters.explain_collection import attempts, invoice, next_step
from billing.presenters.explain_subjects import (
    next_period,
    payment,
    schedule,
    standing,
    subscription,
    terms,
)
from billing.queries.explain import Explanation, PaymentExplained, SubscriptionExplained
from billing.queries.explain.read import BilledFacts, CollectionFacts


@dataclass(frozen=True, slots=True)
class ExplainedSection:
    """One step of the explanation."""

    title: str
    sentences: tuple[str, ...]


def sections(explained: Explanation) -> list[ExplainedSection]:
    """Return an explanation in words."""
    return list(_sections(explained))


def _sections(explained: Explanation) -> Iterator[ExplainedSection]:
    if isinstance(explained, PaymentExplained):
        yield _section("payment", payment(explained.payment))
    elif isinstance(explained, SubscriptionExplained):
        yield _section("subscription", subscription(explained.subscription))
        yield _section("now", standing(explained.standing))
        yield _section("next period", next_period(explained.next_period))
    if explained.billed is not None:
        yield from _billed(explained.billed)


def _billed(facts: BilledFacts) -> Iterator[ExplainedSection]:
    if facts.terms is not None:
        yield _section("terms", terms(facts.terms))
    if facts.schedule is not None:
        yield _section("schedule", schedule(facts.schedule))
    if facts.cycle is not None or facts.invoice is not None:
        yield _section("invoice", invoice(facts.invoice))
    if facts.collection is not None:
        yield from _collection(facts.collection)
    if facts.revenue is not None:
        yield _section("revenue", revenue(facts.revenue))
    yield _section("journal", journal(facts.journal))
    if facts.cycle is not None:
        yield _section("cycle", cycle(facts.cycle))


def _collection(facts: CollectionFacts) -> Iterator[ExplainedSection]:
    yield _section("attempts", attempts(facts.attempts))
    yield _section("next step", next_step(facts.next_step))
    if facts.money_back.refunds or facts.money_back.disputes:
        yield _section("given back", money_back(facts.money_back))


def _section(title: str, sentences: Iterable[str]) -> ExplainedSection:
    return ExplainedSection(title, tuple(sentences))
