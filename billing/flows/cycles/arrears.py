"""Usage of past periods, as the next invoice bills it, at the prices of then. Pure.

items of each segment  ->  runs of one item at one price  ->  what wasn't billed of each run

Where a run was billed before, the difference to the price of all that is counted by now is billed.
Where that fell, it is given back: no charge is for it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from fractions import Fraction
from typing import Final
from uuid import UUID

from billing.flows.cycles.charging import Holdings, PricedItem, priced_items
from billing.flows.cycles.metered_periods import MeteredPeriod
from billing.plans.currencies import charge_step
from billing.plans.items import BASE, Item, ItemPrice
from billing.plans.meters import Aggregate, Meter
from billing.plans.taxes import TaxTerms
from billing.plans.terms import Plan, PlanVersion, version_for_period
from billing.pricing import Charge, UsageClosing, price_difference
from billing.rules.item_changes import HeldTerms
from billing.rules.periods import Period, civil_days_between, service_days
from billing.rules.subscriptions import CycleKind
from billing.rules.usage_quantities import NOTHING_COUNTED, MeteredSpan, quantity_of
from billing.rules.usage_segments import UsageSegment, usage_segments
from billing.store.subscriptions.subscriptions import Subscription

_ZERO: Final = Fraction(0)


@dataclass(frozen=True, slots=True)
class Cheaper:
    """Usage that costs less than was billed for it: what is given back, and of which invoices."""

    closings: tuple[UsageClosing, ...]
    amount: int
    invoices: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class Arrears:
    """What past periods add to an invoice, and the closings for which nothing is charged.

    All periods before `from_n` are billed with it. With each charge comes how its item is taxed.
    """

    from_n: int | None = None
    billed: tuple[tuple[Charge, TaxTerms], ...] = ()
    unbilled: tuple[UsageClosing, ...] = ()
    cheaper: tuple[Cheaper, ...] = ()

    def without_charges(self) -> "Arrears":
        """Return it where no invoice is issued: what it would bill costs nothing."""
        closings = [closing for charge, _ in self.billed for closing in charge.closings]
        return replace(self, billed=(), unbilled=(*self.unbilled, *closings))


NO_ARREARS: Final = Arrears()


@dataclass(frozen=True, slots=True)
class UsedItem:
    """What was used so far of an item at one price, in a period from a segment on."""

    item: Item
    segment: int
    quantity: Fraction


@dataclass(frozen=True, slots=True)
class _Part:
    """A segment by its number, and when it began and ended."""

    segment: int
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class _Run:
    """Segments that follow each other and bill one item at one price."""

    sold: PricedItem
    name: str
    parts: tuple[_Part, ...]

    @property
    def meter(self) -> Meter:
        """What counts its usage."""
        assert self.sold.item.meter is not None, "it counts usage"
        return self.sold.item.meter

    @property
    def served(self) -> Period:
        """The time of all its segments."""
        return Period(self.parts[0].start, self.parts[-1].end)


def arrears_of(
    subscription: Subscription,
    periods: Sequence[MeteredPeriod],
    held: Holdings,
    catalog: Mapping[str, Plan],
) -> Arrears:
    """Return what is to be billed of the usage of past periods, in their order.

    Raises: NoPrice; NoVersion, KeyError, where terms aren't published any more.
    """
    found = NO_ARREARS if not periods else Arrears(subscription.usage_from_n)
    for period in periods:
        for run in _runs(subscription, period, held, catalog):
            found = _with_run(found, subscription, period, run)
        if period.n == found.from_n:
            found = replace(found, from_n=period.n + 1)
    return found


def used_items(
    subscription: Subscription,
    period: MeteredPeriod,
    held: Holdings,
    catalog: Mapping[str, Plan],
) -> Iterator[UsedItem]:
    """Yield what is counted so far of each item that bills usage of a period, as it is billed.

    Raises: NoPrice; NoVersion, KeyError, where terms aren't published any more.
    """
    for run in _runs(subscription, period, held, catalog):
        quantity = sum((_quantity(period, run.meter, part) for part in run.parts), _ZERO)
        yield UsedItem(run.sold.item, run.parts[0].segment, quantity)


def _with_run(
    found: Arrears, subscription: Subscription, period: MeteredPeriod, run: _Run
) -> Arrears:
    closings = tuple(_closings(period, run))
    if not closings:
        return found
    if not _is_billed(period, run):
        return replace(found, unbilled=(*found.unbilled, *closings))
    charge = _charge(subscription, period, run, closings)
    if charge.late:
        amount = price_difference(charge, charge_step(subscription.currency))
        if amount < 0:
            cheaper = Cheaper(closings, -amount, _invoices(period, run))
            return replace(found, cheaper=(*found.cheaper, cheaper))
    return replace(found, billed=(*found.billed, (charge, run.sold.tax)))


def _is_billed(period: MeteredPeriod, run: _Run) -> bool:
    """Tell whether usage of a period is charged: of a trial if the item says so, else if it is.

    A paused one without usage isn't.
    """
    if period.kind is CycleKind.TRIAL:
        return run.sold.item.bills_trial
    if period.kind is CycleKind.PAUSED:
        places = [(run.meter.code, part.segment) for part in run.parts]
        return any(place in period.counted for place in places)
    return period.kind is not CycleKind.SKIPPED


def _invoices(period: MeteredPeriod, run: _Run) -> tuple[UUID, ...]:
    meter = run.meter.code
    billed = (period.billed_in.get((meter, part.segment)) for part in run.parts)
    return tuple(dict.fromkeys(each for each in billed if each is not None))


# --- what was counted ---------------------------------------------------------------------------


def _closings(period: MeteredPeriod, run: _Run) -> Iterator[UsageClosing]:
    """Yield the closings of what was counted since the last ones, or for the first time."""
    meter = run.meter.code
    for part in run.parts:
        before = period.billed.get((meter, part.segment))
        total = period.counted.get((meter, part.segment), NOTHING_COUNTED)
        quantity = _quantity(period, run.meter, part)
        if before is not None and (before.events, before.quantity) == (total.events, quantity):
            continue
        yield UsageClosing(
            meter=meter,
            n=period.n,
            segment=part.segment,
            revision=1 if before is None else before.revision + 1,
            quantity=quantity,
            events=total.events,
            id_sum=total.id_sum,
        )


def _quantity(period: MeteredPeriod, meter: Meter, part: _Part) -> Fraction:
    total = period.counted.get((meter.code, part.segment), NOTHING_COUNTED)
    opening = _ZERO
    if meter.aggregate is Aggregate.LEVEL:
        earlier = (period.counted.get((meter.code, each)) for each in range(part.segment))
        changed = sum((each.sum for each in earlier if each is not None), _ZERO)
        opening = period.opening.get(meter.code, _ZERO) + changed
    span = MeteredSpan(part.start, part.end, period.start, period.end)
    return quantity_of(meter.aggregate, total, opening, span)


# --- under which terms --------------------------------------------------------------------------


def _runs(
    subscription: Subscription,
    period: MeteredPeriod,
    held: Holdings,
    catalog: Mapping[str, Plan],
) -> list[_Run]:
    segments = usage_segments(held.changes, period.start, period.ends_at)
    ends = [*(each.starts_at for each in segments[1:]), period.ends_at]
    found: list[_Run] = []
    for number, (segment, end) in enumerate(zip(segments, ends, strict=True)):
        for name, sold in _metered(subscription, period, segment, held, catalog):
            run = _Run(sold, name, (_Part(number, segment.starts_at, end),))
            place = next((k for k, each in enumerate(found) if _goes_on(each, run)), None)
            if place is None:
                found.append(run)
            else:
                found[place] = replace(found[place], parts=(*found[place].parts, *run.parts))
    return found


def _goes_on(before: _Run, run: _Run) -> bool:
    first, then = before.sold, run.sold
    same = (first.item.code, first.item.meter, first.price, first.item.bills_trial) == (
        then.item.code, then.item.meter, then.price, then.item.bills_trial,
    )  # fmt: skip
    return same and before.parts[-1].end == run.parts[0].start


def _metered(
    subscription: Subscription,
    period: MeteredPeriod,
    segment: UsageSegment,
    held: Holdings,
    catalog: Mapping[str, Plan],
) -> Iterator[tuple[str, PricedItem]]:
    """Yield the items that bill usage of a segment, each with the name of what sells it."""
    terms, currency = segment.terms, subscription.currency
    plan, version = _version(period, segment, catalog)
    source = f"plan:{plan.code}:{version.effective}"
    for sold in priced_items(version, source, currency):
        if sold.item.meter is not None:
            yield plan.name if sold.item.code == BASE else sold.item.code, sold
    days = service_days(Period(period.start, period.end), subscription.zone)
    for code, dated in _addons(terms, held).items():
        addon = held.addons[code]
        of_addon = version_for_period(addon.versions, dated, days[0], period.start)
        for sold in priced_items(of_addon, f"addon:{code}:{of_addon.effective}", currency):
            if sold.item.meter is not None:
                yield addon.name, sold


def _version(
    period: MeteredPeriod, segment: UsageSegment, catalog: Mapping[str, Plan]
) -> tuple[Plan, PlanVersion]:
    """Return the plan and the version that price a segment: those of its cycle, until a change."""
    code, effective = period.plan, period.plan_version
    terms = segment.terms
    if terms is not None and segment.starts_at > period.start:
        code, effective = terms.plan, terms.version_for(code, effective)
    plan = catalog[code]
    return plan, next(each for each in plan.versions if each.effective == effective)


def _addons(terms: HeldTerms | None, held: Holdings) -> Mapping[str, date]:
    if terms is not None:
        return terms.addons
    return {
        row.addon: row.addon_version
        for row in held.items
        if row.addon is not None and row.addon_version is not None and row.quantity
    }


# --- the charge ---------------------------------------------------------------------------------


def _charge(
    subscription: Subscription,
    period: MeteredPeriod,
    run: _Run,
    closings: tuple[UsageClosing, ...],
) -> Charge:
    """Return the charge of what wasn't billed of a run: its quantity comes after what was."""
    meter, served = run.meter, run.served
    last = [period.billed.get((meter.code, part.segment)) for part in run.parts]
    before = sum((each.quantity for each in last if each is not None), _ZERO)
    total = sum((_quantity(period, meter, part) for part in run.parts), _ZERO)
    part, whole = _share(subscription, period, served)
    item = run.sold.item
    return Charge(
        item=item.code,
        name=item.name or run.name,
        price=price_in(period.kind, run.sold.price),
        quantity=total - before,
        period=served,
        source=run.sold.source,
        terms=run.sold.terms,
        part=part,
        whole=whole,
        metered=True,
        before=before,
        days=service_days(served, subscription.zone),
        closings=closings,
    )


def price_in(kind: CycleKind, price: ItemPrice) -> ItemPrice:
    """Return the price of usage in a period of a kind: a paused one has no minimum."""
    return replace(price, minimum=None) if kind is CycleKind.PAUSED else price


def _share(subscription: Subscription, period: MeteredPeriod, served: Period) -> tuple[int, int]:
    """Return the share of a whole period that bounds have: that of its days, in a part of one."""
    part, whole = period.share
    ended, zone = subscription.canceled_at, subscription.zone
    is_empty = ended is not None and ended <= period.start
    if not is_empty and (served.start, served.end) == (period.start, period.end):
        return part, whole
    if part == whole:
        whole = max(1, civil_days_between(period.start, period.end, zone))
    days = 0 if is_empty else civil_days_between(served.start, served.end, zone)
    # Most of these end on their first day: a maximum of no days would make all usage free.
    return min(days if period.opened else max(1, days), whole), whole
