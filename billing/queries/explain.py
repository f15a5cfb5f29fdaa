"""Why a subscription or a payment was or wasn't charged, in sentences: from rows only.

Every sentence says what a row says. The way is always the same: the terms and why those, the
schedule, the invoice, the attempts, what comes next, the journal, and what holds the cycle open.
Nothing is computed that the engine itself would compute otherwise: boundaries come from
`periods.nth`, versions from `version_for_period`, decisions from the words stored with them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Row

from billing.errors import ErrorCode, NotFound
from billing.ledger.journal import Posting
from billing.ledger.recipes import compact
from billing.queries import overview
from billing.queries.subscriptions import find_subscription
from billing.rules.money import Money
from billing.rules.payments import AttemptKind, AttemptOutcome, State
from billing.rules.periods import nth, to_local
from billing.rules.subscriptions import Status
from billing.store.journal import posting as journal
from billing.store.journal.posting import StoredEntry
from billing.store.payments import attempts, disputes, invoices, payments, recognition, refunds
from billing.store.payments.attempts import Attempt
from billing.store.payments.invoices import Invoice
from billing.store.payments.payments import Payment
from billing.store.subscriptions import customers, cycles, plans, subscriptions
from billing.store.subscriptions.subscriptions import Subscription
from plans.terms import Plan, PlanVersion, version_for_period

_MANY: Final = 1_000
_REFUND_KINDS: Final = ("requested", "succeeded", "returned", "failed")


@dataclass(frozen=True, slots=True)
class Section:
    """One step of the explanation."""

    title: str
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Billed:
    """One cycle with what hangs on it; a one-off payment has neither cycle nor invoice."""

    subscription: Subscription | None
    cycle: Row[Any] | None
    invoice: Invoice | None
    payment: Payment | None


def explain_payment(conn: Connection, payment_id: UUID, now: datetime) -> list[Section]:
    """Explain one payment, from the terms it was priced with to its journal entries.

    Raises `NotFound`.
    """
    payment = payments.get(conn, payment_id)
    if payment is None:
        raise NotFound(
            f"no payment {payment_id}", code=ErrorCode.PAYMENT_NOT_FOUND, payment_id=payment_id
        )
    billed = _billed_of_payment(conn, payment)
    sections = [_section("payment", _payment_in_words(conn, billed))]
    if billed.subscription is not None and billed.cycle is not None:
        sections += _terms_and_schedule(conn, billed.subscription, billed.cycle)
    return sections + _collection(conn, billed, now)


def explain_subscription(conn: Connection, reference: str, now: datetime) -> list[Section]:
    """Explain why a subscription is, or isn't, charged now, and what became of its last cycle.

    Raises `NotFound`.
    """
    subscription = find_subscription(conn, reference)
    sections = [
        _section("subscription", _subscription_in_words(conn, subscription)),
        _section("now", _standing(subscription, now)),
        _section("next period", _next_period(conn, subscription)),
    ]
    opened = cycles.of_subscription(conn, subscription.id)
    if not opened:
        return sections
    cycle = opened[-1]
    sections += _terms_and_schedule(conn, subscription, cycle)
    return sections + _collection(conn, _billed_of_cycle(conn, subscription, cycle), now)


def _section(title: str, sentences: Iterator[str]) -> Section:
    return Section(title, tuple(sentences))


def _billed_of_payment(conn: Connection, payment: Payment) -> _Billed:
    if payment.invoice_id is None:
        return _Billed(None, None, None, payment)
    invoice = invoices.find(conn, str(payment.invoice_id))
    assert invoice is not None, "a payment's invoice is never deleted"
    subscription = subscriptions.find(conn, str(invoice.subscription_id))
    return _Billed(subscription, cycles.get(conn, invoice.cycle_id), invoice, payment)


def _billed_of_cycle(conn: Connection, subscription: Subscription, cycle: Row[Any]) -> _Billed:
    invoice = invoices.of_cycle(conn, cycle.id)
    payment = payments.of_invoice(conn, invoice.id) if invoice is not None else None
    return _Billed(subscription, cycle, invoice, payment)


# --- who and what -------------------------------------------------------------------------------


def _payment_in_words(conn: Connection, billed: _Billed) -> Iterator[str]:
    payment = billed.payment
    assert payment is not None
    amount = Money(payment.amount, payment.currency)
    yield f"Payment {payment.id} collects {amount} from {_customer(conn, payment.customer_id)}."
    if billed.invoice is None:
        yield "It is a one-off payment: it belongs to no invoice and to no period."
    if billed.subscription is not None and billed.cycle is not None:
        yield (
            f"It is for cycle {billed.cycle.n} of subscription {_named(billed.subscription)},"
            f" {_span(billed.cycle.period_start, billed.cycle.period_end)}."
        )
    yield f"It is {payment.state} since {_at(_state_since(conn, payment))}."


def _state_since(conn: Connection, payment: Payment) -> datetime:
    steps = payments.transitions(conn, payment.id)
    since: datetime = steps[-1].at if steps else payment.created_at
    return since


def _subscription_in_words(conn: Connection, subscription: Subscription) -> Iterator[str]:
    seats = f", quantity {subscription.quantity}" if subscription.quantity > 1 else ""
    yield (
        f"Subscription {_named(subscription)} of {_customer(conn, subscription.customer_id)}"
        f" is for {subscription.plan} in {subscription.currency}{seats},"
        f" since {_at(subscription.created_at)}."
    )
    yield f"It is {subscription.status}."
    events = subscriptions.events(conn, subscription.id)
    if events:
        last = events[-1]
        yield f"What happened to it last: {last.words} ({last.actor}, {_at(last.at)})."


def _customer(conn: Connection, customer_id: UUID) -> str:
    customer = customers.find(conn, str(customer_id))
    assert customer is not None, "customers are never deleted"
    return f"{customer.name} ({customer.external_id or customer.id})"


def _named(subscription: Subscription) -> str:
    if subscription.external_id is None:
        return str(subscription.id)
    return f"{subscription.external_id} ({subscription.id})"


# --- why it is or isn't charged now -------------------------------------------------------------


def _standing(subscription: Subscription, now: datetime) -> Iterator[str]:
    yield f"It is {_at(now)}."
    if subscription.parked_at is not None:
        yield (
            f"It is not charged: it was parked on {_at(subscription.parked_at)}"
            f" ({subscription.parked_reason}): {subscription.parked_error}"
        )
        yield "It stays out of scheduling until `billing parked release`."
        return
    match subscription.status:
        case Status.CANCELED:
            assert subscription.canceled_at is not None
            yield f"It is not charged: it was canceled on {_at(subscription.canceled_at)}."
        case Status.UNPAID:
            yield (
                "It is not charged: the ladder of an earlier invoice is over and its plan says"
                " `unpaid`. It goes on when that invoice is paid."
            )
        case Status.PAUSED:
            yield "It is not charged: it is paused, and its periods pass unbilled until resumed."
        case Status.TRIALING | Status.ACTIVE | Status.PAST_DUE:
            yield from _renewing(subscription, now)


def _renewing(subscription: Subscription, now: datetime) -> Iterator[str]:
    assert subscription.renews_at is not None
    at = _at(subscription.renews_at)
    if subscription.renews_at <= now:
        yield f"It is due: period {subscription.next_n} began on {at} and has no cycle yet."
        yield "A running scheduler opens it with its next tick; `billing status` shows the lag."
    elif subscription.cancel_at_period_end:
        yield f"It won't be charged again: it is canceled when the open period ends, {at}."
    else:
        yield f"Its next invoice is not due until {at}."
    if subscription.status is Status.PAST_DUE:
        yield "It is past due: an attempt was declined and its ladder goes on."


def _next_period(conn: Connection, subscription: Subscription) -> Iterator[str]:
    if subscription.renews_at is None:
        yield "There is none: nothing is scheduled."
        return
    scheduled = nth(subscription.schedule, subscription.next_n)
    kind = f"a {scheduled.kind} one" if scheduled.part == scheduled.whole else "a stub"
    span = _span(scheduled.period.start, scheduled.period.end)
    yield f"Period {subscription.next_n} is {kind}, {span}."
    if scheduled.period.start != subscription.renews_at:
        yield f"It is scheduled for {_at(subscription.renews_at)}, which is not its start."
    if subscription.status is Status.PAUSED:
        yield "It passes unbilled, unless the subscription is resumed before it begins."
        return
    plan = plans.published(conn).get(subscription.plan)
    if plan is None:
        yield f"Plan {subscription.plan} is not published: it would be parked."
        return
    starts_on = to_local(scheduled.period.start, subscription.zone).date()
    version = version_for_period(plan.versions, subscription.plan_version, starts_on)
    price = _unit_price(version, subscription.currency)
    yield f"As published now it is priced by the terms of {version.effective}: {price} a unit."


# --- terms and schedule -------------------------------------------------------------------------


def _terms_and_schedule(
    conn: Connection, subscription: Subscription, cycle: Row[Any]
) -> list[Section]:
    return [
        _section("terms", _terms(conn, subscription, cycle)),
        _section("schedule", _schedule(subscription, cycle)),
    ]


def _terms(conn: Connection, subscription: Subscription, cycle: Row[Any]) -> Iterator[str]:
    plan = plans.published(conn).get(cycle.plan)
    assert plan is not None, "published plans are never deleted"
    by_date = {version.effective: version for version in plan.versions}
    version = by_date[cycle.plan_version]
    price = _unit_price(version, subscription.currency)
    yield (
        f"Cycle {cycle.n} was opened with the terms of {plan.code} that are effective from"
        f" {version.effective}: {price} a unit, every {version.every}."
    )
    yield _why_version(conn, subscription, cycle, version)
    starts_on = to_local(cycle.period_start, subscription.zone).date()
    yield from _passed_by(plan, version, starts_on)


def _why_version(
    conn: Connection, subscription: Subscription, cycle: Row[Any], version: PlanVersion
) -> str:
    if cycle.n == 0:
        return "They were the latest on sale on the day it started."
    held = cycles.of_subscription(conn, subscription.id)[cycle.n - 1].plan_version
    if held == version.effective:
        return f"They are held since before: cycle {cycle.n - 1} had them too."
    return (
        f'It moved to them from those of {held}: they say existing = "move", and this is the'
        f" first period that starts on {version.effective} or later."
    )


def _passed_by(plan: Plan, held: PlanVersion, starts_on: date) -> Iterator[str]:
    for later in plan.versions:
        if held.effective < later.effective <= starts_on:
            yield (
                f'The terms of {later.effective} say existing = "{later.existing}": whoever'
                " subscribed before keeps what they have."
            )


def _unit_price(version: PlanVersion, currency: str) -> str:
    price = version.prices.get(currency)
    return f"no price in {currency}" if price is None else str(Money(price, currency))


def _schedule(subscription: Subscription, cycle: Row[Any]) -> Iterator[str]:
    trial = f", after a trial of {subscription.trial}" if subscription.trial else ""
    aligned = f", on day {subscription.anchor_day}" if subscription.anchor_day else ""
    yield (
        f"Boundaries are counted from {subscription.anchor_local:%Y-%m-%d %H:%M} in"
        f" {subscription.zone}, every {subscription.every}{aligned}{trial}."
    )
    scheduled = nth(subscription.schedule, cycle.n)
    span = _span(scheduled.period.start, scheduled.period.end)
    yield f"By that, period {cycle.n} is {span}; the cycle has {_kind_in_words(cycle.kind)}."
    if scheduled.part != scheduled.whole:
        yield (
            f"It is a stub up to the first aligned boundary: {scheduled.part} of"
            f" {scheduled.whole} days are billed."
        )


def _kind_in_words(kind: str) -> str:
    return {
        "trial": "kind trial, which costs nothing",
        "regular": "kind regular, which is billed",
        "paused": "kind paused: the subscription was paused, nothing is billed",
        "skipped": "kind skipped: it was over before it was opened, nothing is billed",
    }[kind]


# --- invoice, attempts, next --------------------------------------------------------------------


def _collection(conn: Connection, billed: _Billed, now: datetime) -> list[Section]:
    sections = [_section("invoice", _invoice(conn, billed))] if billed.cycle is not None else []
    if billed.payment is not None:
        sections.append(_section("attempts", _attempts(conn, billed.payment)))
        sections.append(_section("next step", _next_step(conn, billed.payment, now)))
        given_back = _section("given back", _given_back(conn, billed.payment))
        sections += [given_back] if given_back.sentences else []
    if billed.invoice is not None:
        sections.append(_section("revenue", _revenue(conn, billed.invoice)))
    sections.append(_section("journal", _journal(conn, billed)))
    if billed.cycle is not None:
        sections.append(_section("cycle", _cycle(conn, billed, billed.cycle, now)))
    return sections


def _invoice(conn: Connection, billed: _Billed) -> Iterator[str]:
    invoice = billed.invoice
    if invoice is None:
        yield "There is none: a cycle of this kind bills nothing."
        return
    total = Money(invoice.total, invoice.currency)
    yield f"Invoice {invoice.number} of {_at(invoice.issued_at)}: {total}."
    for line in invoices.lines(conn, invoice.id):
        unit = Money(line.unit_amount, invoice.currency)
        amount = Money(line.amount, invoice.currency)
        yield f"Line {line.line}: {line.description}: {line.quantity} x {unit} = {amount}."
    resolved = f" since {_at(invoice.resolved_at)}" if invoice.resolved_at else ""
    yield f"It is {invoice.status}{resolved}."
    if billed.payment is None:
        yield "It has no payment: there was nothing to collect."


def _attempts(conn: Connection, payment: Payment) -> Iterator[str]:
    rows = attempts.of_payment(conn, payment.id)
    if not rows:
        yield "None was made."
        if payment.decision:
            yield f"{_capital(payment.decision)}."
        return
    cards = {
        method.id: f"{method.brand} ending in {method.last4}"
        for method in customers.payment_methods_of(conn, payment.customer_id)
    }
    for row in rows:
        card = cards.get(row.payment_method_id, "a payment method of another customer")
        yield (
            f"Attempt {row.n} ({row.kind}) on {_at(row.first_sent_at)} with {card},"
            f" key {row.idempotency_key}: {_outcome(row)}."
        )
        if row.outcome not in (None, AttemptOutcome.SUCCEEDED) and row.decision:
            yield f"What followed from attempt {row.n}: {row.decision}."


def _outcome(row: Attempt) -> str:
    if row.finished_at is None:
        sends = "once" if row.sends == 1 else f"{row.sends} times"
        if row.unknown_since is None:
            return f"open, sent {sends}"
        return (
            f"unknown since {_at(row.unknown_since)} ({row.last_error}), sent {sends}: it is asked"
            " for under the same key, and no other attempt is made meanwhile"
        )
    codes = [row.decline_code, row.decline_class, row.advice_code and f"advice {row.advice_code}"]
    detail = ", ".join(code for code in codes if code)
    return f"{row.outcome}{f' ({detail})' if detail else ''} on {_at(row.finished_at)}"


def _next_step(conn: Connection, payment: Payment, now: datetime) -> Iterator[str]:
    if payment.parked_at is not None:
        yield (
            f"None: it was parked on {_at(payment.parked_at)} ({payment.parked_reason}):"
            f" {payment.parked_error}"
        )
        yield "It goes on after `billing parked release`."
        return
    if payment.next_attempt_at is None:
        yield _end_in_words(payment)
        return
    at = _at(payment.next_attempt_at)
    if attempts.open_attempt(conn, payment.id) is not None:
        yield "The open attempt is sent again, or looked up, until its outcome is known."
    elif payment.state == State.AUTHORIZED:
        yield from _authorised(payment, at)
    elif payment.next_attempt_kind is AttemptKind.GIVE_UP:
        yield f"Nothing is tried until the payment method changes; it is given up on {at}."
    elif payment.next_attempt_at <= now:
        yield f"An attempt ({payment.next_attempt_kind}) is due since {at}; a worker makes it."
    else:
        yield f"An attempt ({payment.next_attempt_kind}) follows on {at}."
        yield f"Rungs of the ladder used: {payment.rung}."


def _authorised(payment: Payment, at: str) -> Iterator[str]:
    if payment.capture_amount is not None:
        yield f"{payment.to_capture} are to be captured since {at}."
    elif not payment.is_held:
        yield f"It is to be voided since {at}: {payment.decision}."
    else:
        yield f"It waits to be captured; when nobody does, it is voided on {at}."


def _given_back(conn: Connection, payment: Payment) -> Iterator[str]:
    """Tell of refunds and disputes, if there are any."""
    for row in refunds.page(conn, payment_id=payment.id, limit=_MANY):
        amount, why = Money(row.amount, row.currency), row.failure_reason or row.last_error
        detail = f" ({why})" if why else ""
        yield (
            f"Refund {row.id} of {amount}, asked for on {_at(row.created_at)} by"
            f" {row.requested_by} ({row.reason}), is {row.state}{detail}."
        )
    for row in disputes.page(conn, payment_id=payment.id, limit=_MANY):
        amount = Money(row.amount, row.currency)
        kind = "Inquiry" if row.state.startswith("inquiry") else "Dispute"
        yield (
            f"{kind} {row.id} ({row.provider_dispute_id}) about {amount}, opened on"
            f" {_at(row.opened_at)} ({row.reason}), is {row.state}."
        )


def _revenue(conn: Connection, invoice: Invoice) -> Iterator[str]:
    standing = recognition.standings(conn, [invoice.id])[invoice.id]
    earned = Money(standing.recognised, invoice.currency)
    upto = f" up to {_at(standing.last)}" if standing.last else ""
    yield f"{earned} of {Money(invoice.net, invoice.currency)} were earned{upto}."
    if not invoice.status.earns:
        yield f"It earns no more: it is {invoice.status}."
    elif standing.left.deferred and invoice.recognise_at is not None:
        left = Money(standing.left.deferred, invoice.currency)
        yield f"{left} are still to be earned, the next on {_at(invoice.recognise_at)}."


def _end_in_words(payment: Payment) -> str:
    match payment.state:
        case State.FAILED:
            return f"None: {payment.decision}."
        case State.CREATED | State.AUTHORIZED:
            return "None is scheduled."
        case State.CAPTURED | State.SETTLED | State.REFUNDED:
            return f"None: {Money(payment.amount_captured, payment.currency)} were captured."


# --- journal and closing ------------------------------------------------------------------------


def _journal(conn: Connection, billed: _Billed) -> Iterator[str]:
    entries = _entries(conn, billed)
    if not entries:
        yield "Nothing was posted: no money was owed or moved."
    for stored in entries:
        entry = stored.entry
        legs = ", ".join(_leg(posting) for posting in entry.postings)
        late = "" if entry.cycle_id is not None or billed.cycle is None else ", after closing"
        yield f"Entry {stored.id}, {entry.kind}, {_at(entry.effective_at)}{late}: {legs}."


def _leg(posting: Posting) -> str:
    side = "debit" if posting.money.amount > 0 else "credit"
    return f"{side} {posting.account.code} {abs(posting.money)}"


def _entries(conn: Connection, billed: _Billed) -> Sequence[StoredEntry]:
    """Return the cycle's entries, and those that came when it was closed already."""
    found = journal.entries_of(conn, [billed.cycle.id]) if billed.cycle is not None else []
    known = {stored.id for stored in found}
    keys = [*_late_keys(billed), *_money_keys(conn, billed)]
    late = (journal.entry_by_source_key(conn, key) for key in keys)
    return [*found, *(stored for stored in late if stored and stored.id not in known)]


def _late_keys(billed: _Billed) -> Iterator[str]:
    if billed.payment is None:
        return
    yield f"one_off_charged:{billed.payment.id}"
    for n in range(1, billed.payment.attempt_n + 1):
        yield f"payment_captured:{billed.payment.id}:{n}"


def _money_keys(conn: Connection, billed: _Billed) -> Iterator[str]:
    """Yield the source keys of what was given back, lost and earned."""
    if billed.payment is not None:
        for row in refunds.page(conn, payment_id=billed.payment.id, limit=_MANY):
            yield from (f"refund_{kind}:{row.id}" for kind in _REFUND_KINDS)
        for row in disputes.page(conn, payment_id=billed.payment.id, limit=_MANY):
            yield from _dispute_keys(row)
    if billed.invoice is not None:
        for earned in recognition.of_invoice(conn, billed.invoice.id):
            kind = "revenue_recognized" if earned.amount > 0 else "recognition_taken_back"
            yield f"{kind}:{billed.invoice.id}:{compact(earned.through)}"


def _dispute_keys(row: Row[Any]) -> Iterator[str]:
    for transaction_id in row.transaction_ids:
        yield f"dispute_opened:{row.id}:{transaction_id}"
        yield f"dispute_won:{row.id}:{transaction_id}"
    for time in range(1, row.times_lost + 1):
        yield f"dispute_lost:{row.id}:{time}"
        yield f"dispute_lost_reversed:{row.id}:{time}"


def _cycle(conn: Connection, billed: _Billed, cycle: Row[Any], now: datetime) -> Iterator[str]:
    yield f"Cycle {cycle.n} was opened on {_at(cycle.opened_at)}."
    if cycle.closed_at is not None:
        yield f"It was closed on {_at(cycle.closed_at)} with digest {cycle.digest[:12]}..."
        return
    held = list(_what_holds_it_open(conn, billed, cycle, now))
    if held:
        yield from held
    else:
        yield "Nothing holds it open: the reconciler closes it with its next run."


def _what_holds_it_open(
    conn: Connection, billed: _Billed, cycle: Row[Any], now: datetime
) -> Iterator[str]:
    invoice, payment = billed.invoice, billed.payment
    if invoice is not None and invoice.status == "open":
        yield "It is held open by its invoice, which is not paid."
    if payment is not None and payment.captured_at is not None and payment.confirmed_at is None:
        yield "It is held open until the provider's list of charges confirms the capture."
    elif payment is not None and payment.captured_at is not None and payment.settled_at is None:
        yield "It is held open until the provider's settlement of the capture was matched."
    if payment is not None and attempts.open_attempt(conn, payment.id) is not None:
        yield "It is held open by an attempt whose outcome isn't known yet."
    written_off = invoice is not None and invoice.status in ("void", "uncollectible")
    if written_off and cycle.period_end > now:
        yield (
            f"It is held open until its period ends, {_at(cycle.period_end)}: until then a new"
            " payment method can still pay for it."
        )
    for found in overview.open_breaks_of_cycle(conn, cycle.id):
        yield f"It is held open by break {found.id} ({found.kind}): {found.suggested_cause}."


def _at(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC"


def _span(start: datetime, end: datetime) -> str:
    return f"from {_at(start)} up to {_at(end)}"


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
