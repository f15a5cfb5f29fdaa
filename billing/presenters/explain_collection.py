"""Sentences about an invoice, its attempts, and what comes next."""

from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Final

from billing.plans.numbers import exact_text
from billing.presenters.credit import SOURCES
from billing.presenters.decisions import in_words
from billing.presenters.text import at, capital, exact_price
from billing.queries.explain.collection import (
    AttemptFacts,
    AttemptsFacts,
    InvoiceFacts,
    LineFacts,
    NextFacts,
    NextKind,
    TaxCallFacts,
    TaxFacts,
    UsageBilled,
)
from billing.rules.money import Money
from billing.rules.payment_methods import recognised_by
from billing.rules.payments import AttemptOutcome
from billing.tax import OUTSIDE_EU


def invoice(facts: InvoiceFacts | None) -> Iterator[str]:
    """Tell what an invoice is made of."""
    if facts is None:
        yield "There is none: a cycle of this kind bills nothing."
        return
    yield f"Invoice {facts.number} of {at(facts.issued_at)}: {facts.total}."
    for line in facts.lines:
        yield from _line(line)
    yield from map(_usage, facts.usage)
    for used in facts.coupons:
        yield f"Coupon {used.coupon} takes {used.amount} off {used.base}."
    yield from map(_tax, facts.taxes)
    yield from map(_tax_call, facts.tax_calls)
    if facts.credit.amount:
        yield from _credit(facts)
    resolved = f" since {at(facts.resolved_at)}" if facts.resolved_at else ""
    yield f"It is {facts.status}{resolved}."
    if facts.payment_id is None:
        yield "It has no payment: there was nothing to collect."


def _credit(facts: InvoiceFacts) -> Iterator[str]:
    """Tell what credit pays of an invoice, and which."""
    if not facts.used:
        yield f"Credit paid {facts.credit} of it, and was given back."
        return
    yield f"Credit pays {facts.credit} of it; {facts.due} are due."
    for used in facts.used:
        yield f"  {used.amount} of grant {used.grant_id} ({SOURCES[used.source]})."


def _usage(usage: UsageBilled) -> str:
    """Tell which usage was billed: how much of how many events, in which revision."""
    segment = f", segment {usage.segment}" if usage.segment else ""
    late = f"; revision {usage.revision} bills what came late" if usage.revision > 1 else ""
    return (
        f"Usage of {usage.meter} in period {usage.n}{segment}: {exact_text(usage.quantity)},"
        f" by {usage.events} event(s){late}."
    )


def _tax(tax: TaxFacts) -> str:
    """Tell a tax: where it is levied and on what, or why it isn't."""
    match tax.treatment:
        case "reverse_charge":
            why = f"the buyer owes it: reverse charge, {tax.reason}"
        case "exempt" if tax.reason == OUTSIDE_EU:
            why = "none: the buyer is outside the EU"
        case "exempt":
            why = f"none: exempt{f', {tax.reason}' if tax.reason else ''}"
        case "not_registered":
            why = "none: the seller isn't registered there"
        case _:
            how = "in the price" if tax.included else "on top"
            return (
                f"{tax.name} in {tax.jurisdiction}, {tax.treatment}, {tax.rate} % of {tax.base},"
                f" {how}: {tax.amount}."
            )
    return f"{tax.name} in {tax.jurisdiction} on {tax.base}, {why}."


def _tax_call(call: TaxCallFacts) -> str:
    """Tell what a provider computed of the taxes, or is told of them."""
    what = _TAX_CALLS[call.kind]
    match call.state:
        case "answered":
            return f"{what} at {call.provider} as {call.provider_ref}."
        case "refused":
            return (
                f"{what} at {call.provider}: refused, {call.why}. `billing taxes waiting` has it."
            )
        case _:
            said = f"; it said last: {call.why}" if call.why else ""
            return f"{what} at {call.provider}: not answered yet{said}."


_TAX_CALLS: Final[Mapping[str, str]] = {
    "calculation": "The taxes are computed",
    "record": "The invoice is recorded for taxes",
    "reversal": "What was taken back of it is recorded for taxes",
}


def _line(line: LineFacts) -> Iterator[str]:
    """Tell what a line is made of: units and prices, what was taken off, and tax."""
    currency = line.amount.currency
    units = exact_text(line.quantity)
    price = f"{units} x {line.unit_amount}" if line.unit_amount is not None else units
    if line.unit_amount is None and line.unit_price is not None:
        price = f"{units} x {exact_price(Fraction(line.unit_price), currency)}"
    yield f"Line {line.n}: {line.description}: {price} = {line.gross}."
    for row in line.rows:
        flat = f", and {Money(row.flat, currency)}" if row.flat else ""
        yield (f"  {exact_text(row.quantity)} at {exact_price(row.unit_price, currency)}{flat}.")
    if line.discount.amount:
        yield f"  Discounts take {line.discount} off: {line.amount} are left."
    if line.tax.amount:
        yield f"  Tax of it: {line.tax}."


def attempts(facts: AttemptsFacts) -> Iterator[str]:
    """Tell each attempt, and what was decided after it."""
    if not facts.attempts:
        yield "None was made."
        if (decision := in_words(facts.decision, facts.decision_facts)) is not None:
            yield f"{capital(decision)}."
    for attempt in facts.attempts:
        card = attempt.method
        named = (
            "a payment method of another customer"
            if card is None
            else recognised_by(card.kind, card.brand, card.last4)
        )
        yield (
            f"Attempt {attempt.n} ({attempt.kind}) on {at(attempt.first_sent_at)} with {named},"
            f" key {attempt.idempotency_key}: {_outcome(attempt)}."
        )
        if attempt.outcome not in (None, AttemptOutcome.SUCCEEDED) and attempt.decision:
            decision = in_words(attempt.decision, attempt.decision_facts)
            yield f"What followed from attempt {attempt.n}: {decision}."


def _outcome(attempt: AttemptFacts) -> str:
    if attempt.finished_at is None:
        sends = "once" if attempt.sends == 1 else f"{attempt.sends} times"
        if attempt.unknown_since is None:
            return f"open, sent {sends}"
        return (
            f"unknown since {at(attempt.unknown_since)} ({attempt.last_error}), sent {sends}: it"
            " is asked for under the same key, and no other attempt is made meanwhile"
        )
    codes = [
        attempt.decline_code,
        attempt.decline_class,
        attempt.advice_code and f"advice {attempt.advice_code}",
    ]
    detail = ", ".join(code for code in codes if code)
    return f"{attempt.outcome}{f' ({detail})' if detail else ''} on {at(attempt.finished_at)}"


def next_step(facts: NextFacts) -> Iterator[str]:
    """Tell what happens next with a payment, and when."""
    yield from _NEXT[facts.kind](facts)


def _parked(facts: NextFacts) -> Iterator[str]:
    assert facts.parked is not None
    parked = facts.parked
    yield f"None: it was parked on {at(parked.at)} ({parked.reason}): {parked.error}"
    yield "It goes on after `billing parked release`."


def _when(facts: NextFacts) -> str:
    assert facts.at is not None
    return at(facts.at)


def _later(facts: NextFacts) -> Iterator[str]:
    yield f"An attempt ({facts.attempt_kind}) follows on {_when(facts)}."
    yield f"Rungs of the ladder used: {facts.rung}."


def _one(words: Callable[[NextFacts], str]) -> Callable[[NextFacts], Iterator[str]]:
    return lambda facts: iter((words(facts),))


_NEXT: Final[Mapping[NextKind, Callable[[NextFacts], Iterator[str]]]] = {
    NextKind.PARKED: _parked,
    NextKind.FAILED: _one(lambda facts: f"None: {in_words(facts.decision, facts.decision_facts)}."),
    NextKind.CAPTURED: _one(lambda facts: f"None: {facts.amount} were captured."),
    NextKind.UNSCHEDULED: _one(lambda _facts: "None is scheduled."),
    NextKind.OPEN_ATTEMPT: _one(
        lambda _facts: "The open attempt is sent again, or looked up, until its outcome is known."
    ),
    NextKind.CAPTURE: _one(
        lambda facts: f"{facts.amount} are to be captured since {_when(facts)}."
    ),
    NextKind.VOID: _one(
        lambda facts: (
            f"It is to be voided since {_when(facts)}:"
            f" {in_words(facts.decision, facts.decision_facts)}."
        )
    ),
    NextKind.WAITS_FOR_CAPTURE: _one(
        lambda facts: f"It waits to be captured; when nobody does, it is voided on {_when(facts)}."
    ),
    NextKind.WAITS_FOR_METHOD: _one(
        lambda facts: (
            f"Nothing is tried until the payment method changes; it is given up on {_when(facts)}."
        )
    ),
    NextKind.ATTEMPT_DUE: _one(
        lambda facts: (
            f"An attempt ({facts.attempt_kind}) is due since {_when(facts)}; a worker makes it."
        )
    ),
    NextKind.ATTEMPT_LATER: _later,
}
