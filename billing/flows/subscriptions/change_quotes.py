"""What a change of a subscription costs, and when it holds, before it is made.

lock  ->  terms before and after  ->  when it holds, by how the subscription stands  ->  invoice
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.errors import BadInput, ErrorCode
from billing.flows.coupons import redeeming
from billing.flows.customers.customers import existing_customer
from billing.flows.cycles import held_terms, holding
from billing.flows.cycles.charging import Holdings, costs_nothing, facts_of_cycle
from billing.flows.cycles.holding import BatchHoldings
from billing.flows.policy import Policy
from billing.flows.subscriptions import change_cuts
from billing.flows.subscriptions.change_cuts import Cut
from billing.flows.subscriptions.change_digests import digest_of, digest_with_coupon
from billing.flows.subscriptions.change_invoices import (
    TO_CREDIT,
    GivesBack,
    QuotedNote,
    charged_for,
    cost_of_change,
    give_to,
    quoted_notes,
    running,
)
from billing.flows.subscriptions.change_standing import applies_when, refuse_ended, standing_of
from billing.flows.subscriptions.changed_terms import ChangedTerms, ChangeOrder, terms_of
from billing.flows.subscriptions.lifecycle import ends_at
from billing.flows.subscriptions.subscribing import method_at
from billing.plans.currencies import charge_limit
from billing.plans.terms import Plan
from billing.pricing import Facts, InvoiceDraft, draft
from billing.rules.actor import Actor
from billing.rules.credit_notes import Destination
from billing.rules.item_changes import Applies, HeldTerms
from billing.rules.money import Money
from billing.rules.periods import ScheduledPeriod
from billing.rules.subscriptions import BILLED_KINDS
from billing.store.payments.payments import LockedPayment
from billing.store.subscriptions import addons, cycles, plans
from billing.store.subscriptions.cycles import Cycle
from billing.store.subscriptions.subscriptions import Subscription
from billing.tax import TaxDecision


@dataclass(frozen=True, slots=True)
class ChangeQuote:
    """What a change will do. Its digest says whether anything that it follows from has moved.

    `facts` and `draft` are those of its invoice where it holds now, else of the next period's; None
    where nothing is billed. `n` is the number of that cycle. `notes` are issued before the invoice,
    which their credit pays first. Where it cuts a cycle, the invoice is that of the next one. The
    `coupon` that is redeemed with it takes off from the first period on that begins then or later.
    """

    subscription_id: UUID
    applies: Applies
    holds_from: datetime
    terms: ChangedTerms
    n: int
    facts: Facts | None
    draft: InvoiceDraft | None
    digest: str
    notes: Sequence[QuotedNote] = ()
    cut: Cut | None = None
    decision: TaxDecision | None = None
    coupon: str | None = None

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
    actor: Actor,
) -> ChangeQuote:
    """Return what a change of a (locked) subscription will do; its coupon is redeemed by then.

    Raises: BadInput, Conflict, NotFound.
    """
    if order.is_empty:
        raise BadInput(
            "a change names a plan, a quantity, a billing day or a zone, and not a coupon alone",
            code=ErrorCode.CHANGE_NOTHING,
        )
    stands = standing_of(subscription, undecided, now)
    refuse_ended(subscription, stands)
    if order.coupon is not None:
        _redeem(conn, subscription, order, actor, now)
    asking = _asking(conn, subscription, order, change_id, now, policy)
    instants = {
        Applies.NOW: _at_once(conn, subscription, now),
        Applies.PERIOD_END: _end(subscription, now),
    }
    wanted = order.applies or Applies.PERIOD_END
    terms = asking.terms(conn, wanted, instants[wanted])
    applies = applies_when(subscription, terms, stands, order, asking.catalog, now)
    if applies is not wanted:
        terms = asking.terms(conn, applies, instants[applies])
    if applies is Applies.NOW:
        quote = _now(conn, subscription, terms, asking, policy, now)
        if not quote.notes or asking.catalog[subscription.plan].change.credit != "none":
            _refuse_unpayable(conn, subscription, quote)
            return _with_coupon(quote, order.coupon)
        terms = asking.terms(conn, Applies.PERIOD_END, instants[Applies.PERIOD_END])
    quote = _later(subscription, terms, asking.held, policy)
    return _with_coupon(quote, order.coupon)


def _with_coupon(quote: ChangeQuote, coupon: str | None) -> ChangeQuote:
    """Return a quote of a change that redeems a coupon: without it, it is another quote."""
    if coupon is None:
        return quote
    return replace(quote, coupon=coupon, digest=digest_with_coupon(quote.digest, coupon))


def _redeem(
    conn: Connection,
    subscription: Subscription,
    order: ChangeOrder,
    actor: Actor,
    now: datetime,
) -> None:
    """Redeem the coupon of a change, for what the subscription is to hold."""
    assert order.coupon is not None, "it names one"
    plan = subscription.plan if order.plan is None else order.plan
    if plan in plans.published(conn):  # else the change is refused for that
        held = replace(subscription, plan=plan)
        redeeming.redeem_for(conn, held, order.coupon, at=now, now=now, actor=actor)


def quote_again(
    conn: Connection,
    subscription: Subscription,
    order: ChangeOrder,
    *,
    change_id: UUID,
    at: datetime,
    policy: Policy,
) -> ChangeQuote:
    """Return what a change did that was made at an instant; whether it may be made isn't asked.

    Raises: BadInput, Conflict, NotFound.
    """
    asking = _asking(conn, subscription, order, change_id, at, policy)
    terms = asking.terms(conn, Applies.NOW, at)
    return _now(conn, subscription, terms, asking, policy, at)


@dataclass(frozen=True, slots=True)
class _Asking:
    """A change that is asked for, with what is held before it at an instant."""

    subscription: Subscription
    order: ChangeOrder
    change_id: UUID
    catalog: Mapping[str, Plan]
    batch: BatchHoldings
    held: Holdings

    @property
    def gives_back(self) -> GivesBack:
        """Where goes what the change takes away: as it asks, or its plan says."""
        credit = self.order.credit or self.catalog[self.subscription.plan].change.credit
        to = Destination.REFUND if credit == "refund" else Destination.CREDIT
        return GivesBack(to, insists=self.order.credit is not None)

    def terms(self, conn: Connection, applies: Applies, at: datetime) -> ChangedTerms:
        return terms_of(
            conn, self.subscription, self.held, self.catalog, self.order,
            addons=self.batch.addons, applies=applies, at=at, change_id=self.change_id,
        )  # fmt: skip


def _asking(
    conn: Connection,
    subscription: Subscription,
    order: ChangeOrder,
    change_id: UUID,
    now: datetime,
    policy: Policy,
) -> _Asking:
    catalog, batch = plans.published(conn), holding.read(conn, [subscription], policy)
    batch.addons = addons.published(conn)
    held = replace(batch.of(subscription, now), addons=batch.addons)
    return _Asking(subscription, order, change_id, catalog, batch, held)


def _end(subscription: Subscription, now: datetime) -> datetime:
    """Return when the next period starts; one that starts now is the next one until it is open."""
    if subscription.renews_at == now:
        return now
    at = ends_at(subscription, now)
    assert at is not None, "it renews"
    return at


def _at_once(conn: Connection, subscription: Subscription, now: datetime) -> datetime:
    """Return when a change holds that is asked for at once.

    A period that was opened meanwhile, or by a clock that is ahead, may begin after `now`.
    """
    cycle = cycles.last(conn, subscription.id)
    return now if cycle is None else max(now, cycle.period_start)


# --- at the period's end ------------------------------------------------------------------------


def _later(
    subscription: Subscription, terms: ChangedTerms, held: Holdings, policy: Policy
) -> ChangeQuote:
    subscription = subscription.in_segments(subscription.segment, terms.to_come)
    scheduled = _period_at(subscription, terms.change.holds_from)
    subscription = subscription.at_period(scheduled.n)
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
        scheduled = subscription.timetable.nth_from(scheduled.n + 1, scheduled.period.end)
    return scheduled


# --- now ----------------------------------------------------------------------------------------


def _now(
    conn: Connection,
    subscription: Subscription,
    terms: ChangedTerms,
    asking: _Asking,
    policy: Policy,
    now: datetime,
) -> ChangeQuote:
    cycle = cycles.last(conn, subscription.id)
    assert cycle is not None, "its next period begins later, and it has begun"
    n, cut = cycle.n, None
    facts, notes = None, tuple[QuotedNote, ...]()
    if terms.change.cuts is not None:
        cut = change_cuts.quoted(
            conn,
            subscription,
            terms,
            asking.batch,
            policy,
            cycle,
            asking.catalog,
            asking.gives_back,
        )
        n, facts, notes = cut.opening.scheduled.n, cut.opening.facts, cut.notes
    elif cycle.kind in BILLED_KINDS:
        facts, notes = _costs(conn, subscription, terms, asking, policy, cycle, now)
    quote = _quote(subscription, terms, Applies.NOW, n, facts, cycle, notes)
    tax = asking.held.tax
    return replace(quote, cut=cut, decision=None if tax is None else tax.decision_of(quote.facts))


def _refuse_unpayable(conn: Connection, subscription: Subscription, quote: ChangeQuote) -> None:
    """Refuse a change that is to be paid by a customer who can't be charged. Raises: BadInput."""
    if quote.draft is None or not quote.draft.due:
        return
    customer = existing_customer(conn, str(subscription.customer_id))
    if method_at(conn, customer, subscription.provider) is None:
        raise BadInput(
            f"customer {customer.id} has no payment method",
            where="customer",
            code=ErrorCode.PAYMENT_METHOD_MISSING,
            customer=customer.id,
        )


def _costs(
    conn: Connection,
    subscription: Subscription,
    terms: ChangedTerms,
    asking: _Asking,
    policy: Policy,
    cycle: Cycle,
    now: datetime,
) -> tuple[Facts | None, tuple[QuotedNote, ...]]:
    """Return the facts of the invoice, and the notes whose credit pays it."""
    batch = asking.batch
    at, change_id = terms.change.holds_from, terms.change.change_id
    assert change_id is not None, "every change of items has an id"
    period = running(subscription, cycle, batch, policy, now)
    before = period.facts(terms.before, terms.before_version, terms.plan_before)
    after = period.facts(terms.after, terms.version, terms.plan)
    charged = charged_for(conn, subscription.id, cycle)
    cost = cost_of_change(subscription, charged, before, after, period.scheduled.period, at)
    gives_back = asking.gives_back if cost.facts is None else TO_CREDIT
    notes = quoted_notes(conn, cost.returns, gives_back, change_id, at)
    if cost.facts is None:
        return None, notes
    facts = period.taxed(cost.facts, terms.after, terms.version, terms.plan)
    if not notes:
        return facts, notes
    give_to(batch, subscription.customer_id, notes, now)
    return replace(facts, credit=batch.of(subscription, now).credit), notes


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
        digest=digest_of(subscription, terms, applies, facts, cycle, notes),
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
