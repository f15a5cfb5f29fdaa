"""What a change of a subscription costs, and when it holds, before it is made.

lock  ->  terms before and after  ->  when it holds, by how the subscription stands  ->  invoice
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.errors import BadInput, Conflict, ErrorCode
from billing.flows.credit_notes.drafting import Asked, DraftedNote
from billing.flows.customers.customers import existing_customer
from billing.flows.cycles import crediting, held_terms, holding
from billing.flows.cycles.charging import Holdings, costs_nothing, facts_of_cycle
from billing.flows.cycles.holding import BatchHoldings
from billing.flows.policy import Policy
from billing.flows.subscriptions.change_invoices import charged_for, cost_of_change, notes_of
from billing.flows.subscriptions.changed_terms import ChangedTerms, ChangeOrder, terms_of
from billing.flows.subscriptions.lifecycle import ends_at
from billing.flows.subscriptions.subscribing import method_at
from billing.ids import derived_id
from billing.plans.currencies import charge_limit
from billing.plans.terms import Plan, PlanVersion
from billing.pricing import Charge, Credit, Facts, InvoiceDraft, draft
from billing.rules.change_states import ChangeStanding, standing, state_after
from billing.rules.item_changes import Applies, HeldTerms
from billing.rules.money import Money
from billing.rules.periods import Period, ScheduledPeriod, nth_from, to_local
from billing.rules.subscriptions import CycleKind
from billing.store.payments.payments import LockedPayment
from billing.store.subscriptions import addons, cycles, plans
from billing.store.subscriptions.cycles import Cycle
from billing.store.subscriptions.subscriptions import Subscription

_BILLED = (CycleKind.REGULAR, CycleKind.FREE)


@dataclass(frozen=True, slots=True)
class QuotedNote:
    """A credit note of a change: its id, and what it gives back to the customer's credit."""

    note_id: UUID
    asked: Asked
    drafted: DraftedNote


@dataclass(frozen=True, slots=True)
class ChangeQuote:
    """What a change will do. Its digest says whether anything that it follows from has moved.

    `facts` and `draft` are those of its invoice where it holds now, else of the next period's; None
    where nothing is billed. `n` is the number of that cycle. `notes` are issued before the invoice,
    which their credit pays first.
    """

    subscription_id: UUID
    applies: Applies
    holds_from: datetime
    terms: ChangedTerms
    n: int
    facts: Facts | None
    draft: InvoiceDraft | None
    digest: str
    notes: Sequence["QuotedNote"] = ()

    @property
    def before(self) -> HeldTerms:
        """What is held until then."""
        return self.terms.before

    @property
    def after(self) -> HeldTerms:
        """What is held from then on."""
        return self.terms.after


def quote_of(
    conn: Connection,
    subscription: Subscription,
    undecided: Sequence[LockedPayment],
    order: ChangeOrder,
    *,
    change_id: UUID,
    now: datetime,
    policy: Policy,
) -> ChangeQuote:
    """Return what a change of a (locked) subscription will do.

    Raises: BadInput, Conflict, NotFound.
    """
    if order.plan is None and not order.quantities:
        raise BadInput("a change names a plan or a quantity", code=ErrorCode.CHANGE_NOTHING)
    stands = _standing(subscription, undecided, now)
    _refuse_ended(subscription, stands, order)
    catalog, batch = plans.published(conn), holding.read(conn, [subscription])
    batch.addons = known = addons.published(conn)
    held = replace(batch.of(subscription, now), addons=known)

    def asked(applies: Applies, at: datetime) -> ChangedTerms:
        return terms_of(
            conn, subscription, held, catalog, order,
            addons=known, applies=applies, at=at, change_id=change_id,
        )  # fmt: skip

    instants = {Applies.NOW: now, Applies.PERIOD_END: _end(subscription, now)}
    wanted = order.applies or Applies.PERIOD_END
    terms = asked(wanted, instants[wanted])
    applies = _applies(subscription, terms, stands, order, catalog, now)
    if applies is not wanted:
        terms = asked(applies, instants[applies])
    if applies is Applies.NOW:
        quote = _now(conn, subscription, terms, batch, policy)
        if not quote.notes or catalog[subscription.plan].change.credit != "none":
            return quote
        terms = asked(Applies.PERIOD_END, instants[Applies.PERIOD_END])
    return _later(subscription, terms, held, policy)


def _standing(
    subscription: Subscription, undecided: Sequence[LockedPayment], now: datetime
) -> ChangeStanding:
    if subscription.has_ended(now):
        return ChangeStanding.CANCELED
    ends = subscription.cancels_at is not None
    return standing(subscription.status, ends=ends, being_paid=bool(undecided))


def _refuse_ended(subscription: Subscription, stands: ChangeStanding, order: ChangeOrder) -> None:
    """Refuse what no change can be made of, before its terms are looked at."""
    if stands in (ChangeStanding.CANCELED, ChangeStanding.UNPAID):
        code = ErrorCode.SUBSCRIPTION_ENDED
        raise _refusal(subscription, code if stands is ChangeStanding.CANCELED else _UNPAID)


_UNPAID = ErrorCode.CHANGE_UNPAID
_REFUSALS: Mapping[ErrorCode, str] = {
    ErrorCode.SUBSCRIPTION_ENDED: "has ended",
    ErrorCode.CHANGE_UNPAID: "is unpaid",
    ErrorCode.CHANGE_PAYMENT_UNDER_WAY: "has a payment that is being made",
    ErrorCode.CHANGE_PAST_DUE: "is past due: it pays what it owes before it pays more",
    ErrorCode.CHANGE_ENDING: "was canceled for its period's end",
    ErrorCode.CHANGE_PERIOD_NOT_OPENED: "has a period that began and isn't opened yet",
}


def _refusal(subscription: Subscription, code: ErrorCode) -> Conflict:
    return Conflict(
        f"subscription {subscription.id} {_REFUSALS[code]}",
        code=code,
        subscription_id=subscription.id,
    )


def _applies(
    subscription: Subscription,
    terms: ChangedTerms,
    stands: ChangeStanding,
    order: ChangeOrder,
    catalog: Mapping[str, Plan],
    now: datetime,
) -> Applies:
    """Return when a change holds: as it asks, or its plan says, where that can be."""
    move = terms.move(subscription.currency)
    policy = catalog[subscription.plan].change
    by_plan = Applies(policy.up if move.costs_more else policy.down)
    verdict = state_after(stands, move, order.applies or by_plan)
    if verdict.refused is not None:
        raise _refusal(subscription, verdict.refused)
    assert verdict.applies is not None, "it isn't refused"
    if verdict.applies is Applies.NOW and subscription.renews_at is not None:
        if subscription.renews_at == now:
            return Applies.PERIOD_END
        if subscription.renews_at < now:
            raise _refusal(subscription, ErrorCode.CHANGE_PERIOD_NOT_OPENED)
    return verdict.applies


def _end(subscription: Subscription, now: datetime) -> datetime:
    """Return when the next period starts; one that starts now is the next one until it is open."""
    if subscription.renews_at == now:
        return now
    at = ends_at(subscription, now)
    assert at is not None, "it renews"
    return at


# --- at the period's end ------------------------------------------------------------------------


def _later(
    subscription: Subscription, terms: ChangedTerms, held: Holdings, policy: Policy
) -> ChangeQuote:
    scheduled = _period_at(subscription, terms.change.holds_from)
    changed, holds = held_terms.with_quantities(
        held_terms.with_plan(subscription, terms.after), held, terms.after, terms.version
    )
    facts: Facts | None = facts_of_cycle(
        changed, terms.plan, terms.version, scheduled, policy, holds
    )
    if facts is not None and (costs_nothing(facts) or scheduled.kind == "trial"):
        facts = None
    return _quote(subscription, terms, Applies.PERIOD_END, scheduled.n, facts, None)


def _period_at(subscription: Subscription, start: datetime) -> ScheduledPeriod:
    scheduled = subscription.next_period
    while scheduled.period.start < start:
        scheduled = nth_from(subscription.schedule, scheduled.n + 1, scheduled.period.end)
    return scheduled


# --- now ----------------------------------------------------------------------------------------


def _now(
    conn: Connection,
    subscription: Subscription,
    terms: ChangedTerms,
    batch: BatchHoldings,
    policy: Policy,
) -> ChangeQuote:
    cycle = cycles.last(conn, subscription.id)
    assert cycle is not None, "its next period begins later, and it has begun"
    facts, notes = None, tuple[QuotedNote, ...]()
    if cycle.kind in _BILLED:
        facts, notes = _costs(conn, subscription, terms, batch, policy, cycle)
    quote = _quote(subscription, terms, Applies.NOW, cycle.n, facts, cycle, notes)
    if quote.draft is not None and quote.draft.due:
        customer = existing_customer(conn, str(subscription.customer_id))
        if method_at(conn, customer, subscription.provider) is None:
            raise BadInput(
                f"customer {customer.id} has no payment method",
                where="customer",
                code=ErrorCode.PAYMENT_METHOD_MISSING,
                customer=customer.id,
            )
    return quote


def _costs(
    conn: Connection,
    subscription: Subscription,
    terms: ChangedTerms,
    batch: BatchHoldings,
    policy: Policy,
    cycle: Cycle,
) -> tuple[Facts | None, tuple[QuotedNote, ...]]:
    """Return the facts of the invoice, and the notes whose credit pays it."""
    scheduled = nth_from(subscription.schedule, cycle.n, cycle.period_start)
    scheduled = replace(scheduled, period=Period(cycle.period_start, cycle.period_end))
    at, change_id = terms.change.holds_from, terms.change.change_id
    assert change_id is not None, "every change of items has an id"

    def whole(held: HeldTerms, version: PlanVersion, plan: Plan) -> Facts:
        changed, holds = held_terms.with_quantities(
            held_terms.with_plan(subscription, held),
            replace(batch.of(subscription, at), addons=batch.addons),
            held,
            version,
        )
        return facts_of_cycle(changed, plan, version, scheduled, policy, holds)

    before = whole(terms.before, terms.before_version, terms.plan_before)
    after = whole(terms.after, terms.version, terms.plan)
    charged = charged_for(conn, subscription.id, cycle)
    cost = cost_of_change(subscription, charged, before, after, scheduled.period, at)
    notes = tuple(
        QuotedNote(derived_id("change_note", change_id, k, at), asked, drafted)
        for k, (asked, drafted) in enumerate(notes_of(conn, cost.returns))
    )
    if cost.facts is None or not notes:
        return cost.facts, notes
    for note in notes:
        total = Money(note.drafted.note.total, after.currency)
        owner = subscription.customer_id
        batch.add(owner, crediting.grant_of_note(note.note_id, owner, total, at))
    return replace(cost.facts, credit=batch.of(subscription, at).credit), notes


# --- the quote ----------------------------------------------------------------------------------


def _quote(
    subscription: Subscription,
    terms: ChangedTerms,
    applies: Applies,
    n: int,
    facts: Facts | None,
    cycle: Cycle | None,
    notes: Sequence[QuotedNote] = (),
) -> ChangeQuote:
    drafted = None if facts is None else draft(facts)
    if drafted is not None:
        _check_amount(subscription, drafted)
    return ChangeQuote(
        subscription_id=subscription.id,
        applies=applies,
        holds_from=terms.change.holds_from,
        terms=terms,
        n=n,
        facts=facts,
        draft=drafted,
        digest=_digest(subscription, terms, applies, facts, cycle, notes),
        notes=notes,
    )


def _check_amount(subscription: Subscription, drafted: InvoiceDraft) -> None:
    most = Money(charge_limit(drafted.currency), drafted.currency)
    if drafted.due > most.amount:
        raise BadInput(
            f"subscription {subscription.id} would be charged"
            f" {Money(drafted.due, drafted.currency)} at once, above {most}",
            where="quantity",
            code=ErrorCode.AMOUNT_ABOVE_MAXIMUM,
            minor_units=most.amount,
            maximum=most,
        )


def _digest(
    subscription: Subscription,
    terms: ChangedTerms,
    applies: Applies,
    facts: Facts | None,
    cycle: Cycle | None,
    notes: Sequence[QuotedNote],
) -> str:
    """Return the digest of all that a change follows from.

    What holds now costs as much all day long: the day counts, and not the instant.
    """
    at, day = terms.change.holds_from, None
    if cycle is not None:
        day = to_local(at, subscription.zone).date().isoformat()
        facts = None if facts is None else _of_period(facts, cycle)
    document = {
        "subscription": str(subscription.id),
        "applies": str(applies),
        "from": day or at.isoformat(),
        "before": terms.before.document(),
        "after": terms.after.document(),
        "change": terms.change.detail(),
        "terms": terms.version.digest(),
        "facts": None if facts is None else facts.document(),
        "notes": [
            [str(note.drafted.invoice.id), [[each.line, each.gross] for each in note.asked.lines]]
            for note in notes
        ],
    }
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _of_period(facts: Facts, cycle: Cycle) -> Facts:
    period = Period(cycle.period_start, cycle.period_end)

    def with_period(charge: Charge) -> Charge:
        return replace(charge, period=period)

    # The grants of notes have ids that follow from the change's, which a quote hasn't yet.
    credit = tuple(Credit(UUID(int=k), each.left) for k, each in enumerate(facts.credit))
    charges = tuple(with_period(each) for each in facts.charges)
    return replace(facts, charges=charges, credit=credit)
