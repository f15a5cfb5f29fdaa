"""Sentences about a payment, a subscription, its renewal, its terms and its schedule."""

import calendar
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from billing.plans.items import Item
from billing.presenters import history, parking
from billing.presenters.prices import price_words_in
from billing.presenters.text import at, span
from billing.queries.explain.renewal import (
    NextPeriodFacts,
    ParkedFacts,
    StandingFacts,
    TaxesAsked,
)
from billing.queries.explain.subjects import (
    CustomerLink,
    PaymentFacts,
    SubscriptionFacts,
    SubscriptionLink,
)
from billing.queries.explain.terms import ScheduleFacts, TermsFacts, VersionReason
from billing.rules.money import Money
from billing.rules.subscriptions import CycleKind, Status, comes_first


def payment(facts: PaymentFacts) -> Iterator[str]:
    """Tell who a payment collects from, and for what."""
    yield f"Payment {facts.id} collects {facts.amount} from {_customer(facts.customer)}."
    if facts.invoice_id is None:
        yield "It is a one-off payment: it belongs to no invoice and to no period."
    elif facts.subscription is None:
        yield "It is for an invoice that somebody asked for: it belongs to no subscription."
    if facts.subscription is not None and facts.cycle is not None:
        yield (
            f"It is for cycle {facts.cycle.n} of subscription {_named(facts.subscription)},"
            f" {span(facts.cycle.starts, facts.cycle.ends)}."
        )
    yield f"It is {facts.state} since {at(facts.since)}."


def subscription(facts: SubscriptionFacts) -> Iterator[str]:
    """Tell what a subscription is for, and what happened to it last."""
    seats = f", quantity {facts.quantity}" if facts.quantity > 1 else ""
    yield (
        f"Subscription {_named(facts.link)} of {_customer(facts.customer)} is for {facts.plan} in"
        f" {facts.currency}{seats}, since {at(facts.created_at)}."
    )
    yield f"It is {facts.status}."
    if facts.last_event is not None:
        last = facts.last_event
        what = history.in_words(last.kind, last.words, last.facts)
        yield f"What happened to it last: {what} ({last.actor}, {at(last.at)})."


def _customer(customer: CustomerLink) -> str:
    return f"{customer.name} ({customer.external_id or customer.id})"


def _named(link: SubscriptionLink) -> str:
    return str(link.id) if link.external_id is None else f"{link.external_id} ({link.id})"


def _waits_for_taxes(taxes: TaxesAsked, n: int) -> Iterator[str]:
    said = f", which said last: {taxes.why}" if taxes.why else ""
    yield (
        f"Period {n} has begun, and its invoice waits for its taxes: they were asked of"
        f" {taxes.provider} on {at(taxes.asked_at)}, {taxes.sends} time(s) so far{said}."
    )
    yield "It is issued by itself once they are computed; `billing taxes waiting` has the call."


def standing(facts: StandingFacts) -> Iterator[str]:
    """Tell why a subscription is or isn't charged now."""
    yield f"It is {at(facts.now)}."
    if facts.parked is not None:
        yield (
            f"It is not charged: it was parked on {at(facts.parked.at)}"
            f" ({facts.parked.reason}): {_parked_because(facts.parked)}"
        )
        yield "It stays out of scheduling until `billing parked release`."
        return
    charged = "No new period is charged" if facts.collecting else "It is not charged"
    match facts.status:
        case Status.CANCELED:
            assert facts.canceled_at is not None
            yield f"{charged}: it was canceled on {at(facts.canceled_at)}."
        case Status.SCHEDULED:
            yield _scheduled(facts)
        case Status.UNPAID:
            yield (
                f"{charged}: the ladder of an earlier invoice is over and its plan says"
                " `unpaid`. It goes on when that invoice is paid."
            )
        case Status.PAUSED:
            yield f"{charged}: it is paused, and its periods pass unbilled until resumed."
        case Status.TRIALING | Status.ACTIVE | Status.PAST_DUE:
            yield from _renewing(facts)
            return
    if facts.collecting:
        yield f"What it owes of before is still collected: {facts.collecting} open payment(s)."


def _parked_because(parked: ParkedFacts) -> str | None:
    return parking.in_words(parked.reason, parked.error, parked.facts)


def _scheduled(facts: StandingFacts) -> str:
    assert facts.renews_at is not None
    if facts.is_ending:
        assert facts.cancels_at is not None
        return f"It is never charged: it ends before its first period, {at(facts.cancels_at)}."
    return f"It is not charged yet: its first period begins on {at(facts.renews_at)}."


def _renewing(facts: StandingFacts) -> Iterator[str]:
    assert facts.renews_at is not None
    when = at(facts.renews_at)
    if facts.is_waiting:
        assert facts.opens_at is not None
        yield (
            f"It waits for usage until {at(facts.opens_at)}: period {facts.next_n} began on {when},"
            " and its cycle is opened then, so that what was used before has arrived"
            " (`usage.wait`)."
        )
    elif facts.is_due and facts.taxes is not None:
        yield from _waits_for_taxes(facts.taxes, facts.next_n)
    elif facts.is_due:
        yield f"It is due: period {facts.next_n} began on {when} and has no cycle yet."
        yield "A running scheduler opens it with its next tick; `billing status` shows the lag."
    elif facts.is_ending:
        assert facts.cancels_at is not None
        ends = at(facts.cancels_at)
        yield f"It won't be charged again: it is canceled when the open period ends, {ends}."
    elif comes_first(facts.unpaid_from, facts.renews_at):
        assert facts.unpaid_from is not None
        yield (
            "It won't be charged again unless an earlier invoice is paid, which was given up: it is"
            f" unpaid from {at(facts.unpaid_from)} on."
        )
    else:
        yield f"Its next invoice is not due until {when}."
    if facts.status is Status.PAST_DUE:
        yield "It is past due: an attempt was declined and its ladder goes on."


def next_period(facts: NextPeriodFacts | None) -> Iterator[str]:
    """Tell which period is opened next, and what it costs."""
    if facts is None:
        yield "There is none: nothing is scheduled."
        return
    kind = "a stub" if facts.is_stub else f"a {facts.kind} one"
    yield f"Period {facts.n} is {kind}, {span(facts.starts, facts.ends)}."
    if facts.starts != facts.renews_at:
        yield f"It is scheduled for {at(facts.renews_at)}, which is not its start."
    if facts.is_paused:
        yield "It passes unbilled, unless the subscription is resumed before it begins."
    elif facts.effective is None:
        yield f"Plan {facts.plan} is not published: it would be parked."
    else:
        price = _priced(facts.price, facts.items, facts.currency)
        yield f"As published now it is priced by the terms of {facts.effective}: {price}."
        if facts.quantities:
            held = ", ".join(f"{code} {n}" for code, n in facts.quantities.items())
            yield f"It is for {facts.plan} then, with {held}."


def _priced(price: Money | None, items: Sequence[Item], currency: str) -> str:
    if items:
        return "; ".join(f"{item.code} {price_words_in(item, currency)}" for item in items)
    return f"{f'no price in {currency}' if price is None else price} a unit"


def terms(facts: TermsFacts) -> Iterator[str]:
    """Tell which terms a cycle has, and why those."""
    price = _priced(facts.price, facts.items, facts.currency)
    yield (
        f"Cycle {facts.n} was opened with the terms of {facts.plan} that are effective from"
        f" {facts.effective}: {price}, every {facts.every}."
    )
    match facts.reason:
        case VersionReason.FIRST:
            yield "They were the latest on sale on the day it started."
        case VersionReason.HELD:
            yield f"They are held since before: cycle {facts.n - 1} had them too."
        case VersionReason.MOVED:
            yield (
                f'It moved to them from those of {facts.held}: they say existing = "move", and'
                f" this is the first period that starts on {facts.effective} or later."
            )
    for later in facts.passed_by:
        yield (
            f'The terms of {later.effective} say existing = "{later.existing}": whoever'
            " subscribed before keeps what they have."
        )


def _aligned(facts: ScheduleFacts) -> str:
    if facts.anchor_weekday:
        return f", on {calendar.day_name[facts.anchor_weekday - 1]}s"
    month = f" of {calendar.month_name[facts.anchor_month]}" if facts.anchor_month else ""
    return f", on day {facts.anchor_day}{month}" if facts.anchor_day else ""


def schedule(facts: ScheduleFacts) -> Iterator[str]:
    """Tell how a cycle's period follows from its subscription's schedule."""
    trial = f", after a trial of {facts.trial}" if facts.trial else ""
    since = f"From period {facts.from_n} on, boundaries" if facts.from_n else "Boundaries"
    yield (
        f"{since} are counted from {facts.anchor_local:%Y-%m-%d %H:%M} in"
        f" {facts.zone}, every {facts.every}{_aligned(facts)}{trial}."
    )
    yield (
        f"By that, period {facts.n} is {span(facts.starts, facts.ends)}; the cycle has"
        f" {_KINDS[facts.cycle_kind]}."
    )
    if facts.cut_at is not None:
        yield f"A change cut it at {at(facts.cut_at)}, where period {facts.n + 1} begins."
    if facts.part != facts.whole:
        yield (
            f"It is a stub up to the first aligned boundary: {facts.part} of"
            f" {facts.whole} days are billed."
        )


_KINDS: Final[Mapping[CycleKind, str]] = {
    CycleKind.TRIAL: "kind trial, which costs nothing",
    CycleKind.REGULAR: "kind regular, which is billed",
    CycleKind.PAUSED: "kind paused: the subscription was paused, nothing is billed",
    CycleKind.FREE: "kind free: by its plan it costs nothing",
    CycleKind.SKIPPED: "kind skipped: it was over before it was opened, nothing is billed",
}
