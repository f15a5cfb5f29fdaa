"""What the next cycle of a subscription is: its period, terms, kind and price. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple, TypedDict
from uuid import UUID

from billing.flows.cycles import held_terms, metering
from billing.flows.cycles.arrears import NO_ARREARS, Arrears, arrears_of
from billing.flows.cycles.charging import (
    NOTHING_HELD,
    Holdings,
    costs_nothing,
    facts_of_cycle,
    facts_of_usage,
)
from billing.flows.cycles.earning import earned_first_at
from billing.flows.cycles.external_taxes import TaxesToAsk, TaxesWanted, TaxUndecided
from billing.flows.cycles.kept_bills import Bill, KeptBills
from billing.flows.policy import Policy
from billing.ids import derived_ids
from billing.plans.currencies import charge_limit
from billing.plans.taxes import TaxTerms
from billing.plans.terms import Plan, PlanVersion, version_for_period
from billing.pricing import Charge, Facts, InvoiceDraft, InvoiceKind, draft
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

_MADE: Final = ("cycle", "invoice", "payment")
_KIND_OF_NOTHING: Final = {CycleKind.REGULAR: CycleKind.FREE}


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
    arrears: Arrears = NO_ARREARS
    """What it bills of the usage of earlier periods."""
    usage_from_n: int | None = None
    """The first period whose usage isn't billed with it; None where it has no meters."""
    usage_wait_seconds: int = 0
    """How long after its end the next cycle is opened."""


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


class WaitsForTaxes(CannotOpen):
    """The next cycle is opened once the provider has answered what is `wanted` of it."""

    def __init__(self, why: TaxesWanted) -> None:
        super().__init__(ParkedReason.TAX_UNDECIDED, None, **why.facts)
        self.wanted: TaxesToAsk = why.wanted


def undecided(why: TaxUndecided) -> CannotOpen:
    """Return why nothing is opened where the taxes aren't decided."""
    if isinstance(why, TaxesWanted):
        return WaitsForTaxes(why)
    return CannotOpen(ParkedReason.TAX_UNDECIDED, None, **why.facts)


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
    kept: KeptBills | None = None,
) -> Opening:
    """Return the next cycle of a subscription, priced. Raises `CannotOpen`.

    `changes` are all that were asked for; those before the period decide whether it is billed.
    `held` is what the subscription holds beside its plan.
    `bill_missed`: an operator decided that missed periods are billed, whatever the policy.
    `unbilled`: what would be billed is skipped, missed or not.
    `kept` are the bills that were computed with this catalog, instant and policy.
    """
    before, holds, scheduled = subscription, held, subscription.next_period
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
    if kind is CycleKind.REGULAR:
        missed = not bill_missed and scheduled.period.end <= now
        kind = _kind_billed(subscription, plan, now, policy, changes, missed, unbilled)
    arrears = _arrears(before, holds, catalog, kind)
    usage, billed = arrears.billed, None
    try:
        if kind is CycleKind.REGULAR:
            kept = KeptBills() if kept is None else kept
            period = _PeriodToBill(subscription, plan, version, scheduled)
            billed = _bill_period(period, now, policy, held, usage, kept)
        elif usage:
            billed = _bill(facts_of_usage(before, usage, policy, holds), subscription, now, policy)
    except TaxUndecided as why:
        raise undecided(why) from why
    if billed is None:
        arrears = arrears.without_charges()
        kind = _KIND_OF_NOTHING.get(kind, kind)
    ids = derived_ids(_MADE, subscription.id, scheduled.n, scheduled.period.start)
    return Opening(
        subscription,
        scheduled,
        kind,
        version,
        facts=None if billed is None else billed.facts,
        draft=None if billed is None else billed.draft,
        cycle_id=ids[0],
        invoice_id=ids[1],
        payment_id=ids[2],
        recognise_at=None if billed is None else billed.recognise_at,
        # What earlier invoices carried is on this one.
        carried=subscription.carried if billed is None else 0,
        terms=terms,
        resumes=before.status is Status.PAUSED and resumes_with(changes, scheduled.period.start),
        before=before,
        series=policy.series_of_subscriptions,
        begins=begins if begins != before.segment else None,
        decision=None if held.tax is None or billed is None else held.tax.decision_of(billed.facts),
        arrears=arrears,
        **_usage(before, arrears, scheduled.n, metering.has_meters(version, held), policy),
    )


def _arrears(
    subscription: Subscription, held: Holdings, catalog: Mapping[str, Plan], kind: CycleKind
) -> Arrears:
    """Return what a cycle bills of earlier usage; one that is skipped, or a trial, bills none.

    Raises `CannotOpen`.
    """
    if kind is CycleKind.SKIPPED or kind is CycleKind.TRIAL:
        return NO_ARREARS
    return arrears_of(subscription, held.usage, held, catalog)


class _Usage(TypedDict):
    """What an opening says about usage to come."""

    usage_from_n: int | None
    usage_wait_seconds: int


def _usage(
    before: Subscription, arrears: Arrears, n: int, has_meters: bool, policy: Policy
) -> _Usage:
    """Return from which period on usage is to be billed, and how long the next cycle waits."""
    from_n = before.usage_from_n if arrears.from_n is None else arrears.from_n
    if from_n is None and has_meters:
        from_n = n
    waits = has_meters or (from_n is not None and from_n < n)
    wait = policy.usage_wait_seconds if waits else 0
    return {"usage_from_n": from_n, "usage_wait_seconds": wait}


def _version(subscription: Subscription, plan: Plan, scheduled: ScheduledPeriod) -> PlanVersion:
    start = scheduled.period.start
    starts_on = to_local(start, subscription.zone).date()
    return version_for_period(plan.versions, subscription.plan_version, starts_on, start)


def _kind_billed(
    subscription: Subscription,
    plan: Plan,
    now: datetime,
    policy: Policy,
    changes: Sequence[DatedChange],
    missed: bool,
    unbilled: bool,
) -> CycleKind:
    """Return the kind of a cycle that is billed unless it was missed, or nobody wants it billed."""
    if unbilled:
        return CycleKind.SKIPPED
    if missed:
        return _kind_of_missed(subscription, plan, now, policy, changes)
    return CycleKind.REGULAR


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


class _PeriodToBill(NamedTuple):
    """A period, and by which terms it is billed to whom."""

    subscription: Subscription
    plan: Plan
    version: PlanVersion
    scheduled: ScheduledPeriod


def _bill_period(
    period: _PeriodToBill,
    now: datetime,
    policy: Policy,
    held: Holdings,
    usage: Sequence[tuple[Charge, TaxTerms]],
    kept: KeptBills,
) -> Bill | None:
    """Return the bill of a regular period, None where it is free.

    Raises: CannotOpen, NoPrice, TaxUndecided.
    """

    def compute() -> Bill | None:
        facts = facts_of_cycle(*period, policy, held, usage)
        return _bill(facts, period.subscription, now, policy)

    if held is NOTHING_HELD and not usage and not period.subscription.carried:
        return kept.of(*period, compute)
    return compute()


def _bill(facts: Facts, subscription: Subscription, now: datetime, policy: Policy) -> Bill | None:
    """Return the bill by facts, None where a period, or all usage, is free.

    Raises `CannotOpen`.
    """
    if costs_nothing(facts):
        return None
    drafted = draft(facts)
    if facts.kind is InvoiceKind.FINAL and not drafted.total:
        return None
    due, currency, maximum = drafted.due, facts.currency, charge_limit(facts.currency)
    if due > maximum:
        reason = ParkedReason.ABOVE_MAXIMUM
        raise CannotOpen(reason, total=due, maximum=maximum, currency=currency)
    if 0 < due < facts.minimum:
        reason = ParkedReason.BELOW_MINIMUM
        raise CannotOpen(reason, total=due, minimum=facts.minimum, currency=currency)
    earned = earned_first_at(drafted, subscription.zone, now, policy.recognise)
    return Bill(facts, drafted, earned)
