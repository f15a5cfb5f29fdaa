"""What a subscription holds at an instant: the fold of its changes. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from billing.rules.actor import Actor
from billing.rules.schedule_orders import DatedOrder, ScheduleOrder
from billing.rules.subscriptions import DatedChangeKind


class Applies(StrEnum):
    """When a change begins to hold."""

    NOW = "now"
    """At once: the rest of the period is charged or returned."""
    PERIOD_END = "period_end"
    """From the next period on."""


@dataclass(frozen=True, slots=True)
class ChangeAsked:
    """When a change was asked for, by whom, and why."""

    at: datetime
    actor: Actor
    why: str


@dataclass(frozen=True, slots=True)
class HeldTerms:
    """What a subscription holds: a plan in a version, and quantities by item.

    The item of a plan with a single price is `base`. Items without a quantity aren't named. Those
    of `addons` are add-ons, each in a version.
    """

    plan: str
    version: date
    items: Mapping[str, int]
    addons: Mapping[str, date] = field(default_factory=dict)

    def version_for(self, plan: str, version: date) -> date:
        """Return the version that holds for who is in one of a plan.

        A version of the same plan that they were moved to since is kept.
        """
        return max(self.version, version) if plan == self.plan else self.version

    def document(self) -> dict[str, Any]:
        """Return it as JSON-able values."""
        found: dict[str, Any] = {
            "plan": self.plan,
            "version": self.version.isoformat(),
            "items": dict(sorted(self.items.items())),
        }
        return found | _addons_to(self.addons)


@dataclass(frozen=True, slots=True)
class ItemChange:
    """One change of what is held, and the instant from which it holds.

    `addons` are the versions of add-ons that it adds; one whose quantity is 0 is removed. `items`
    are the quantities that it names. With a plan come the `defaults` of its items: an item of both
    plans that isn't named keeps its quantity. `schedule` is what it says of the periods to come; it
    `cuts` the cycle of that number where the next one begins at once.
    """

    kind: DatedChangeKind
    holds_from: datetime
    change_id: UUID | None = None
    applies: Applies | None = None
    withdraws: UUID | None = None
    plan: str | None = None
    version: date | None = None
    items: Mapping[str, int] = field(default_factory=dict)
    defaults: Mapping[str, int] = field(default_factory=dict)
    addons: Mapping[str, date] = field(default_factory=dict)
    schedule: ScheduleOrder | None = None
    cuts: int | None = None

    def detail(self) -> dict[str, Any]:
        """Return what it changes as JSON-able values."""
        found: dict[str, Any] = {"items": dict(sorted(self.items.items()))}
        if self.plan is not None and self.version is not None:
            found |= {"plan": self.plan, "version": self.version.isoformat()}
        if self.defaults:
            found["defaults"] = dict(sorted(self.defaults.items()))
        if self.schedule is not None:
            found["schedule"] = self.schedule.detail()
        if self.cuts is not None:
            found["cuts"] = self.cuts
        return found | _addons_to(self.addons)


def _addons_to(addons: Mapping[str, date]) -> dict[str, Any]:
    dated = {code: version.isoformat() for code, version in sorted(addons.items())}
    return {"addons": dated} if dated else {}


def held_at_start(changes: Sequence[ItemChange], start: datetime) -> HeldTerms | None:
    """Return what holds in a period that starts at an instant; None without any change.

    `changes` are in the order in which they were asked for. A change for a period's end holds for
    one that starts at its instant; one within a period only for those that start after it. Where a
    change cut the period before, the one that starts there has that change, and those before it.
    """
    until_cut = _until_cut(changes, start)

    def holds(change: ItemChange) -> bool:
        if change.applies is Applies.PERIOD_END or change.change_id in until_cut:
            return change.holds_from <= start
        return change.holds_from < start

    return _fold(changes, holds)


def _until_cut(changes: Sequence[ItemChange], start: datetime) -> frozenset[UUID | None]:
    """Return the changes up to the one that cut a period at an instant."""
    for place, change in enumerate(changes, start=1):
        if change.cuts is not None and change.holds_from == start:
            return frozenset(each.change_id for each in changes[:place])
    return frozenset()


def held_in(
    changes: Sequence[ItemChange], period: tuple[datetime, datetime] | None
) -> HeldTerms | None:
    """Return what holds at last in a period, given as its start and end; or before any (None).

    What is to hold from a period's end on, and lies within it because of a cut, doesn't hold yet.
    """

    def holds(change: ItemChange) -> bool:
        if period is None:
            return False
        start, end = period
        if change.applies is Applies.PERIOD_END:
            return change.holds_from <= start
        return change.holds_from < end

    return _fold(changes, holds)


def held_after(
    changes: Sequence[ItemChange], change_id: UUID, start: datetime | None
) -> HeldTerms | None:
    """Return what held right after a change, in a period that starts at an instant.

    None where there is no such change.
    """
    ids = [change.change_id for change in changes]
    if change_id not in ids:
        return None
    until = ids.index(change_id)
    at = changes[until].holds_from

    def holds(change: ItemChange) -> bool:
        from_start = change.applies is Applies.PERIOD_END and start is not None
        return change.holds_from <= (min(at, start) if from_start and start is not None else at)

    return _fold(changes[: until + 1], holds)


def scheduled(changes: Sequence[ItemChange], after: datetime) -> list[ItemChange]:
    """Return the changes that hold only after an instant and weren't withdrawn."""
    withdrawn = _withdrawn(changes)
    return [
        change
        for change in changes
        if change.applies is not None
        and change.holds_from > after
        and change.change_id not in withdrawn
    ]


def days_without(
    changes: Sequence[ItemChange], withdrawn: UUID, after: datetime
) -> list[tuple[ItemChange, HeldTerms]]:
    """Return the changes to come that ask for a billing day, each with what it is asked of.

    That is what is held with it when the change that is to be withdrawn isn't there any more. One
    that names a plan itself, which has the day, isn't among them.
    """
    gone = _withdrawn(changes) | {withdrawn}
    left = [change for change in changes if change.change_id not in gone]
    found = []
    for change in scheduled(left, after):
        order, change_id = change.schedule, change.change_id
        if change.plan is not None or order is None or order.billing_day is None:
            continue
        held = None if change_id is None else held_after(left, change_id, None)
        if held is not None:
            found.append((change, held))
    return found


def orders_of(changes: Sequence[ItemChange]) -> list[DatedOrder]:
    """Return what changes say of a subscription's schedule, without those that were withdrawn."""
    withdrawn = _withdrawn(changes)
    return [
        DatedOrder(change.holds_from, change.schedule, change.cuts)
        for change in changes
        if change.schedule is not None and change.change_id not in withdrawn
    ]


def orders_to_come(changes: Sequence[ItemChange], last_start: datetime | None) -> list[DatedOrder]:
    """Return those that no period has begun with yet.

    `last_start` is where the last billed period starts that was opened; None: none was.
    """

    def is_to_come(change: ItemChange) -> bool:
        if last_start is None or change.holds_from > last_start:
            return True
        at_once = change.applies is Applies.NOW and change.cuts is None
        return at_once and change.holds_from == last_start

    withdrawn = _withdrawn(changes)
    kept = [each for each in changes if each.change_id not in withdrawn and is_to_come(each)]
    return orders_of(kept)


def _withdrawn(changes: Sequence[ItemChange]) -> frozenset[UUID | None]:
    return frozenset(change.withdraws for change in changes if change.withdraws is not None)


def _fold(changes: Sequence[ItemChange], holds: Callable[[ItemChange], bool]) -> HeldTerms | None:
    """Return what the changes that hold come to, each in its turn by instant and then by order."""
    if not changes:
        return None
    base, *rest = changes
    if base.kind is not DatedChangeKind.HELD or base.plan is None or base.version is None:
        raise ValueError("the first change of a subscription is preceded by what it held")
    withdrawn = _withdrawn(rest)
    held = HeldTerms(base.plan, base.version, dict(base.items), dict(base.addons))
    counted = [
        (asked, change)
        for asked, change in enumerate(rest)
        if change.applies is not None and change.change_id not in withdrawn and holds(change)
    ]
    plan: tuple[int, ItemChange] | None = None
    for asked, change in sorted(counted, key=lambda each: each[1].holds_from):
        if plan is not None and asked < plan[0]:
            change = _sold_by(plan[1], change, held)
        held = changed(held, change)
        if change.plan is not None:
            plan = asked, change
    return held


def _sold_by(plan: ItemChange, change: ItemChange, held: HeldTerms) -> ItemChange:
    """Return a change of quantities without items that the plan doesn't have.

    It was asked for while another plan was to hold then.
    """
    if change.plan is not None:
        return change
    known = {*plan.defaults, *change.addons, *held.addons}
    items = {code: quantity for code, quantity in change.items.items() if code in known}
    return replace(change, items=items)


def changed(held: HeldTerms, change: ItemChange) -> HeldTerms:
    """Return what is held after one change."""
    addons = {**held.addons, **change.addons}
    if change.plan is None or change.version is None:
        return _without_removed(held.plan, held.version, {**held.items, **change.items}, addons)
    items = {code: held.items.get(code, default) for code, default in change.defaults.items()}
    items |= {code: held.items[code] for code in held.addons}
    return _without_removed(change.plan, change.version, {**items, **change.items}, addons)


def _without_removed(
    plan: str, version: date, items: Mapping[str, int], addons: Mapping[str, date]
) -> HeldTerms:
    removed = {code for code in addons if not items.get(code)}
    return HeldTerms(
        plan,
        version,
        {code: quantity for code, quantity in items.items() if code not in removed},
        {code: version for code, version in addons.items() if code not in removed},
    )
