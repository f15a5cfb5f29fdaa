"""What the next cycle of a subscription is: its period, terms, kind and price. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from billing.flows.cycles import held_terms
from billing.flows.cycles.charging import Holdings, costs_nothing, facts_of_cycle
from billing.flows.cycles.earning import earned_first_at
from billing.flows.cycles.taxing import TaxUndecided
from billing.flows.policy import Policy
from billing.ids import derived_id
from billing.plans.currencies import charge_limit
from billing.plans.terms import Plan, PlanVersion, version_for_period
from billing.pricing import Facts, InvoiceDraft, draft
from billing.rules.facts import as_json
from billing.rules.item_changes import HeldTerms
from billing.rules.periods import ScheduledPeriod, to_local
from billing.rules.segments import Segment
from billing.rules.subscriptions import (
    CycleKind,
    DatedChange,
    ParkedReason,
    Status,
    cycle_kind,
    is_paused,
    plan_catch_up,
    resumes_with,
)
from billing.store.subscriptions.subscriptions import Subscription
from billing.tax import TaxDecision


@dataclass(frozen=True, slots=True)
class Opening:
    """One cycle to be opened, decided and priced.

    `facts` are those of its invoice and `draft` what follows from them; both are None where nothing
    is billed. `recognise_at` is when something of the invoice is earned for the first time.
    `carried` is what the next invoice adds: invoices of earlier releases were too small to charge.
    `terms` are what is held from its start on, where that was ever changed; `subscription` is as it
    is with them, and `before` as it was stored.
    """

    subscription: Subscription
    scheduled: ScheduledPeriod
    kind: CycleKind
    version: PlanVersion
    facts: Facts | None
    draft: InvoiceDraft | None
    cycle_id: UUID
    invoice_id: UUID
    payment_id: UUID
    recognise_at: datetime | None = None
    carried: int = 0
    terms: HeldTerms | None = None
    resumes: bool = False
    """It was paused until this period; then `past_due` tells whether it owes something."""
    past_due: bool = False
    before: Subscription | None = None
    series: str | None = None
    """The series that its invoice is numbered in; None: the subscription's own."""
    begins: Segment | None = None
    """The segment that begins with this period, if one does."""
    after_cut: bool = False
    """It begins where the cycle before it is cut."""
    decision: TaxDecision | None = None
    """What its invoice is taxed by."""


class CannotOpen(Exception):
    """The subscription's next cycle can't be opened: the reason, with facts.

    Where the reason is an error that something else raised, `error` is what that said.
    """

    def __init__(self, reason: ParkedReason, error: str | None = None, **facts: object) -> None:
        self.reason = reason
        self.error = error
        self.facts = as_json(facts)
        told = error or ", ".join(f"{name} {value}" for name, value in self.facts.items())
        super().__init__(f"{reason}: {told}")


def decide(
    subscription: Subscription,
    catalog: Mapping[str, Plan],
    now: datetime,
    policy: Policy,
    changes: Sequence[DatedChange] = (),
    *,
    held: Holdings,
    bill_missed: bool = False,
    unbilled: bool = False,
) -> Opening:
    """Return the next cycle of a subscription, priced. Raises `CannotOpen`.

    `changes` are all that were asked for; those before the period decide whether it is billed.
    `held` is what the subscription holds beside its plan.
    `bill_missed`: an operator decided that missed periods are billed, whatever the policy.
    `unbilled`: what would be billed is skipped, missed or not.
    """
    before, scheduled = subscription, subscription.next_period
    subscription = before.at_period(scheduled.n)
    begins = None if subscription is before else subscription.segment
    subscription, terms = held_terms.in_plan(subscription, held, scheduled.period.start)
    plan = catalog.get(subscription.plan)
    if plan is None:
        raise CannotOpen(ParkedReason.PLAN_MISSING, plan=subscription.plan)
    version = _version(subscription, plan, scheduled)
    if terms is not None:
        subscription, held = held_terms.with_quantities(subscription, held, terms, version)
    kind = cycle_kind(changes, scheduled.period.start, scheduled.kind)
    if kind is CycleKind.REGULAR and unbilled:
        kind = CycleKind.SKIPPED
    if kind is CycleKind.REGULAR and scheduled.period.end <= now and not bill_missed:
        kind = _kind_of_missed(subscription, plan, now, policy, changes)
    billed = recognise_at = None
    if kind is CycleKind.REGULAR:
        billed = _bill(subscription, plan, version, scheduled, policy, held)
        if billed is None:
            kind = CycleKind.FREE
    if billed is not None:
        recognise_at = earned_first_at(billed[1], subscription.zone, now, policy.recognise)
    owner, n, start = subscription.id, scheduled.n, scheduled.period.start
    return Opening(
        subscription,
        scheduled,
        kind,
        version,
        facts=None if billed is None else billed[0],
        draft=None if billed is None else billed[1],
        cycle_id=derived_id("cycle", owner, n, start),
        invoice_id=derived_id("invoice", owner, n, start),
        payment_id=derived_id("payment", owner, n, start),
        recognise_at=recognise_at,
        # What earlier invoices carried is on this one.
        carried=subscription.carried if billed is None else 0,
        terms=terms,
        resumes=before.status is Status.PAUSED and resumes_with(changes, start),
        before=before,
        series=policy.series_of_subscriptions,
        begins=begins if begins != before.segment else None,
        decision=None if held.tax is None or billed is None else held.tax.decision_of(billed[0]),
    )


def _version(subscription: Subscription, plan: Plan, scheduled: ScheduledPeriod) -> PlanVersion:
    start = scheduled.period.start
    starts_on = to_local(start, subscription.zone).date()
    return version_for_period(plan.versions, subscription.plan_version, starts_on, start)


def _kind_of_missed(
    subscription: Subscription,
    plan: Plan,
    now: datetime,
    policy: Policy,
    changes: Sequence[DatedChange],
) -> CycleKind:
    """Return the kind of a cycle whose period is wholly over before it was opened."""
    missed = len(unbilled_yet(subscription, now, changes))
    catch_up = plan_catch_up(plan.catch_up or policy.catch_up, policy.catch_up_cap, missed)
    if catch_up.action == "park":
        raise CannotOpen(
            ParkedReason.CATCH_UP,
            missed=missed,
            cap=policy.catch_up_cap,
            catch_up=catch_up.reason,
        )
    return CycleKind.SKIPPED if catch_up.action == "skip" else CycleKind.REGULAR


def unbilled_yet(
    subscription: Subscription, now: datetime, changes: Sequence[DatedChange]
) -> Sequence[int]:
    """Return the numbers of the periods that are wholly over without a cycle and to be billed."""
    timetable, first = subscription.timetable, subscription.next_n
    until, ends_at = timetable.number_containing(now), subscription.cancels_at
    if ends_at is not None and ends_at <= now:
        until = timetable.number_containing(ends_at)
    numbers = range(first, until)
    if not changes:
        return numbers
    return [n for n in numbers if not is_paused(changes, _start(subscription, n))]


def _start(subscription: Subscription, n: int) -> datetime:
    if n == subscription.next_n:
        return subscription.next_period.period.start
    return subscription.timetable.nth(n).period.start


def _bill(
    subscription: Subscription,
    plan: Plan,
    version: PlanVersion,
    scheduled: ScheduledPeriod,
    policy: Policy,
    held: Holdings,
) -> tuple[Facts, InvoiceDraft] | None:
    """Return the facts and the draft of an invoice, None where a period is free.

    Raises `CannotOpen`.
    """
    try:
        facts = facts_of_cycle(subscription, plan, version, scheduled, policy, held)
    except TaxUndecided as why:
        raise CannotOpen(ParkedReason.TAX_UNDECIDED, None, **why.facts) from why
    if costs_nothing(facts):
        return None
    drafted = draft(facts)
    due, currency, maximum = drafted.due, facts.currency, charge_limit(facts.currency)
    if due > maximum:
        reason = ParkedReason.ABOVE_MAXIMUM
        raise CannotOpen(reason, total=due, maximum=maximum, currency=currency)
    if 0 < due < facts.minimum:
        reason = ParkedReason.BELOW_MINIMUM
        raise CannotOpen(reason, total=due, minimum=facts.minimum, currency=currency)
    return facts, drafted
