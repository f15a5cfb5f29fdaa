"""What a process knows of the subscriptions that usage is sent for, so that it asks once for each.

A batch is added only if each of its subscriptions is still as it was read; else they are read anew.
So what is known may be old, and no event is counted by it.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from threading import Lock
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from billing.plans.items import Item
from billing.rules.item_changes import Applies, HeldTerms, ItemChange, held_at_start
from billing.rules.segments import Timetable
from billing.rules.subscriptions import CycleKind, Status, unpaid_from
from billing.rules.usage import UsageEvent, UsageRefusal
from billing.rules.usage_counting import (
    MeteredItem,
    Sold,
    SoldFrom,
    UsagePeriod,
    UsageSubscription,
    never_paused,
)
from billing.rules.usage_segments import usage_segments
from billing.store.subscriptions import addons, changes, item_changes, items, plans, referred
from billing.store.subscriptions.items import HeldItem
from billing.store.subscriptions.referred import PeriodAsRun, Referred, versions_published
from billing.store.subscriptions.subscriptions import Subscription
from billing.store.usage.adding import Seen

KNOWN_MAX: Final = 50_000
"""How many subscriptions a process remembers."""
LATEST_FOR: Final = timedelta(days=400)
"""How long after its end a period is looked at for late usage: longer than any item accepts it."""

Subject = tuple[str | None, str | None, str | None]
"""What an event says that it is of: a subscription, or a customer and an item."""


@dataclass(frozen=True, slots=True)
class Known:
    """A subscription as it was read."""

    subscription: UsageSubscription
    seen: Seen


def subject_of(event: UsageEvent) -> Subject:
    """Return what an event says that it is of."""
    return event.subscription, event.customer, event.item


class UsageBook:
    """Subscriptions by what events say that they are of. Threads share it.

    With `counts_paused` paused periods take usage as others do.
    """

    def __init__(self, *, counts_paused: bool = False) -> None:
        self._counts_paused = counts_paused
        self._known: dict[Subject, Known | UsageRefusal] = {}
        self._catalog: _Metered | None = None
        self._lock = Lock()

    def find(self, subject: Subject) -> Known | UsageRefusal | None:
        """Return what is known; None where it has to be read."""
        return self._known.get(subject)

    def counts(self, name: str) -> bool:
        """Tell whether a meter of anything that is published counts events of a name."""
        return self._catalog is not None and name in self._catalog.names

    def read(self, conn: Connection, subjects: Collection[Subject], now: datetime) -> None:
        """Read subscriptions, whatever is known of them."""
        if not subjects:
            return
        catalog = self._catalog
        published = versions_published(conn)
        if catalog is None or catalog.published != published:
            catalog = _Metered(conn, published)
        found = _found(conn, subjects, catalog, now, counts_paused=self._counts_paused)
        with self._lock:
            self._catalog = catalog
            if len(self._known) > KNOWN_MAX:
                self._known.clear()
            self._known.update(found)

    def forget(self, subscriptions: Collection[UUID]) -> None:
        """Forget subscriptions, which changed."""
        with self._lock:
            for subject, known in list(self._known.items()):
                if isinstance(known, Known) and known.subscription.id in subscriptions:
                    del self._known[subject]


class _Metered:
    """The items of everything that is published, as far as they bill usage."""

    def __init__(self, conn: Connection, published: int) -> None:
        self.published = published
        self.of_plan = {
            (each.code, each.version.effective): _metered(each.version.sold)
            for each in plans.VERSIONS.read(conn)
        }
        self.of_addon = {
            (each.code, each.version.effective): _metered(each.version.sold)
            for each in addons.VERSIONS.read(conn)
        }
        every = (*self.of_plan.values(), *self.of_addon.values())
        self.names = frozenset(each.meter.event for found in every for each in found)

    def sold(self, versions: Iterable[tuple[str, date]], held: Sequence[HeldItem]) -> Sold:
        """Return what is billed of usage by versions of plans, and by the add-ons of rows."""
        found = [each for version in versions for each in self.of_plan.get(version, ())]
        for row in held:
            if row.addon is not None and row.addon_version is not None:
                found += self.of_addon.get((row.addon, row.addon_version), ())
        return _by_event(found)


def _metered(sold: Iterable[Item]) -> tuple[MeteredItem, ...]:
    return tuple(
        MeteredItem(item.code, item.meter, item.late_for)
        for item in sold
        if item.meter is not None and item.late_for is not None
    )


def _by_event(found: Iterable[MeteredItem]) -> Sold:
    """Return items by the name of their events; of one meter, that which accepts usage longer."""
    by_meter: dict[str, MeteredItem] = {}
    for each in found:
        before = by_meter.get(each.meter.code)
        if before is None or before.late_for < each.late_for:
            by_meter[each.meter.code] = each
    by_event: dict[str, tuple[MeteredItem, ...]] = {}
    for code in sorted(by_meter):
        each = by_meter[code]
        by_event[each.meter.event] = (*by_event.get(each.meter.event, ()), each)
    return by_event


def _found(
    conn: Connection,
    subjects: Collection[Subject],
    catalog: _Metered,
    now: datetime,
    *,
    counts_paused: bool,
) -> dict[Subject, Known | UsageRefusal]:
    references = sorted({each[0] for each in subjects if each[0] is not None})
    customers = sorted({each[1] for each in subjects if each[1] is not None})
    by_reference = referred.by_reference(conn, references) if references else {}
    by_customer = referred.of_customers(conn, customers) if customers else {}
    every = {each.subscription.id: each for each in by_reference.values()}
    every |= {each.subscription.id: each for found in by_customer.values() for each in found}
    known = _known(conn, list(every.values()), catalog, now)
    if counts_paused:
        known = {
            one: replace(each, subscription=never_paused(each.subscription))
            for one, each in known.items()
        }
    found: dict[Subject, Known | UsageRefusal] = {}
    for subject in subjects:
        reference, customer, item = subject
        if reference is not None:
            one = by_reference.get(reference)
            found[subject] = (
                UsageRefusal.UNKNOWN_SUBSCRIPTION if one is None else known[one.subscription.id]
            )
        else:
            theirs = [known[each.subscription.id] for each in by_customer.get(customer or "", ())]
            found[subject] = _of_item(theirs, item or "")
    return found


def _of_item(theirs: Sequence[Known], item: str) -> Known | UsageRefusal:
    """Return a customer's subscription that has an item; one that ended only if none goes on."""
    if not theirs:
        return UsageRefusal.UNKNOWN_SUBSCRIPTION
    having = [each for each in theirs if _has(each.subscription, item)]
    live = [each for each in having if each.subscription.next_start is not None]
    found = live or having
    if len(found) > 1:
        return UsageRefusal.AMBIGUOUS
    return found[0] if found else UsageRefusal.NOT_SOLD


def _has(subscription: UsageSubscription, item: str) -> bool:
    every = (subscription.later, *(period.sold for period in subscription.periods))
    return any(each.item == item for sold in every for found in sold.values() for each in found)


def _known(
    conn: Connection, every: Sequence[Referred], catalog: _Metered, now: datetime
) -> dict[UUID, Known]:
    """Return subscriptions with their periods and what bills them."""
    ids = [each.subscription.id for each in every]
    if not ids:
        return {}
    periods = referred.periods_since(conn, ids, now - LATEST_FOR)
    begun = referred.begun_segments(conn, ids)
    dated, asked = changes.of_many(conn, ids), item_changes.of_many(conn, ids)
    held = items.of_many(conn, ids)
    unpaid = [each.subscription.id for each in every if each.subscription.status is Status.UNPAID]
    given_up = referred.unpaid_since(conn, unpaid) if unpaid else {}
    found = {}
    for each in every:
        subscription = each.subscription
        one = subscription.id
        ended_in = _ended_in(subscription, periods.get(one, ()))
        to_come = _to_come(subscription, ended_in, asked.get(one, ()))
        made = UsageSubscription(
            id=one,
            timetable=Timetable((*begun.get(one, ())[:-1], *subscription.timetable.segments)),
            periods=_periods(
                subscription, periods.get(one, ()), held.get(one, ()), asked.get(one, ()), catalog
            ),
            next_n=subscription.next_n,
            next_start=subscription.renews_at,
            ends_at=subscription.cancels_at or subscription.canceled_at,
            later=catalog.sold(to_come, held.get(one, ())),
            changes=dated.get(one, ()),
            unpaid_from=unpaid_from(dated.get(one, ())) or given_up.get(one),
            ended_in=ended_in,
            later_from=tuple(_later_from(subscription, ended_in, asked.get(one, ()), catalog)),
        )
        found[one] = Known(made, Seen(each.version, each.change))
    return found


def _later_from(
    subscription: Subscription,
    ended_in: datetime | None,
    asked: Sequence[ItemChange],
    catalog: _Metered,
) -> Iterator[SoldFrom]:
    """Yield what bills usage of periods behind the next one, where that was changed for them."""
    start = subscription.renews_at or ended_in
    if start is None:
        return
    scheduled = (each.holds_from for each in asked if each.applies is Applies.PERIOD_END)
    for at in sorted({each for each in scheduled if each > start}):
        terms = held_at_start(asked, at)
        if terms is not None:
            yield SoldFrom(
                at, catalog.sold([(terms.plan, terms.version)], _addons(subscription, terms))
            )


def _periods(
    subscription: Subscription,
    opened: Sequence[PeriodAsRun],
    held: Sequence[HeldItem],
    asked: Sequence[ItemChange],
    catalog: _Metered,
) -> list[UsagePeriod]:
    """Return opened periods; within one, a change at once may have begun another segment."""
    found = []
    for each in opened:
        sold = catalog.sold([(each.plan, each.plan_version)], held)
        segments = tuple(_segments(subscription, each, asked, catalog)) if asked else ()
        paused = each.kind is CycleKind.PAUSED
        found.append(
            UsagePeriod(each.n, each.period_start, each.period_end, paused, sold, segments)
        )
    return found


def _segments(
    subscription: Subscription,
    period: PeriodAsRun,
    asked: Sequence[ItemChange],
    catalog: _Metered,
) -> Iterator[SoldFrom]:
    """Yield what bills usage from each segment of a period on."""
    for segment in usage_segments(asked, period.period_start, period.period_end):
        terms, plan, version = segment.terms, period.plan, period.plan_version
        if terms is not None and segment.starts_at > period.period_start:
            version = max(terms.version, version) if terms.plan == plan else terms.version
            plan = terms.plan
        rows = [] if terms is None else _addons(subscription, terms)
        yield SoldFrom(segment.starts_at, catalog.sold([(plan, version)], rows))


def _addons(subscription: Subscription, terms: HeldTerms) -> list[HeldItem]:
    added = terms.addons.items()
    return [HeldItem(subscription.id, code, 1, code, dated) for code, dated in added]


def _ended_in(subscription: Subscription, opened: Sequence[PeriodAsRun]) -> datetime | None:
    """Return where the period started in which a subscription ended before it was opened."""
    ended_at = subscription.canceled_at
    if ended_at is None or not opened or opened[-1].period_end >= ended_at:
        return None
    return opened[-1].period_end


def _to_come(
    subscription: Subscription, ended_in: datetime | None, asked: Sequence[ItemChange]
) -> Mapping[tuple[str, date], None]:
    """Return the versions of plans that may bill the next period, or that of the end."""
    found = {(subscription.plan, subscription.plan_version): None}
    start = subscription.renews_at or ended_in
    if start is not None:
        terms = held_at_start(asked, start)
        if terms is not None:
            found[terms.plan, terms.version] = None
    return found
