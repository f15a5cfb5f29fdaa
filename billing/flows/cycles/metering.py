"""Reading the usage that is to be billed, inside the caller's transaction.

One row a meter and segment is read, however many events were counted in it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from billing.flows.cycles import unopened
from billing.flows.cycles.charging import Holdings
from billing.flows.cycles.metered_periods import MeteredPeriod
from billing.flows.cycles.unopened import PeriodAsEnded
from billing.flows.policy import Policy
from billing.plans.terms import PlanVersion
from billing.rules.item_changes import ItemChange
from billing.store.subscriptions import cycles, subscriptions
from billing.store.subscriptions.subscriptions import Subscription
from billing.store.usage import closings
from billing.store.usage.closings import AskedUsage, CountedPeriod

_LATEST: Final = timedelta(days=366 + 14)
"""Usage of a period that ended longer ago isn't accepted, whatever its item says."""


def read(
    conn: Connection,
    due: Sequence[Subscription],
    now: datetime,
    changes: Mapping[UUID, Sequence[ItemChange]],
) -> Mapping[UUID, Sequence[MeteredPeriod]]:
    """Return the periods whose usage the next invoice of (locked) subscriptions bills, in order.

    Of one that ended, the last ones have no cycle where none was opened before.
    Nothing more is counted in them until the transaction ends. `changes` are theirs of plan and
    quantities.
    """
    metered = {each.id: each for each in due if each.usage_from_n is not None}
    if not metered:
        return {}
    of_levels = closings.level_meters(conn)
    asked = [_asked(each, now) for each in metered.values()]
    late = closings.late_periods(conn, asked, of_levels)
    places = [
        (owner, n)
        for owner, each in sorted(metered.items())
        for n in (*late.get(owner, ()), *range(each.usage_from_n or 0, each.next_n))
    ]
    ended = {owner: each for owner, each in metered.items() if each.canceled_at is not None}
    to_come = closings.counted_from(conn, {owner: each.next_n for owner, each in ended.items()})
    counted = closings.lock_counted(conn, [*places, *to_come])
    levels = closings.levels(conn, list(metered), of_levels)
    found: dict[UUID, list[MeteredPeriod]] = {}
    for (owner, n), stored in cycles.of_numbers(conn, places).items():
        ends = (stored.cut_at, metered[owner].canceled_at)
        ends_at = _ended(stored.period_start, stored.period_end, ends)
        run = PeriodAsEnded(stored, ends_at, _share(metered[owner], n))
        period = _period(n, run, counted[owner, n], _openings(levels, owner, n))
        found.setdefault(owner, []).append(period)
    owners = sorted({owner for owner, _ in to_come})
    last = cycles.of_numbers(conn, [(owner, ended[owner].next_n - 1) for owner in owners])
    of_last = {owner: stored for (owner, _), stored in last.items()}
    begun = {owner: ended[owner] for owner in owners}
    for (owner, n), run in unopened.read(conn, begun, to_come, of_last, changes).items():
        period = _period(n, run, counted[owner, n], _openings(levels, owner, n))
        found.setdefault(owner, []).append(replace(period, opened=False))
    return found


def _period(
    n: int, run: PeriodAsEnded, counted: CountedPeriod, opening: Mapping[str, Fraction]
) -> MeteredPeriod:
    return MeteredPeriod(
        n=n,
        kind=run.cycle.kind,
        start=run.cycle.period_start,
        end=run.cycle.period_end,
        ends_at=run.ends_at,
        plan=run.cycle.plan,
        plan_version=run.cycle.plan_version,
        share=run.share,
        counted=counted.counted,
        billed=counted.billed,
        billed_in=counted.billed_in,
        opening=opening,
    )


def has_meters(version: PlanVersion, held: Holdings) -> bool:
    """Tell whether usage is counted for what is held."""
    if any(item.meter is not None for item in version.sold):
        return True
    of_addons = (held.addons[row.addon] for row in held.items if row.addon and row.quantity)
    return any(each.item.meter is not None for addon in of_addons for each in addon.versions)


def begin(conn: Connection, subscription: Subscription, n: int, policy: Policy) -> None:
    """Let the usage of a (locked) subscription be billed from its running period on.

    What it changes to within the n-th period has meters.
    """
    subscriptions.change(
        conn,
        subscription.id,
        usage_from_n=n if subscription.usage_from_n is None else subscription.usage_from_n,
        usage_wait_seconds=policy.usage_wait_seconds,
    )


def _asked(subscription: Subscription, now: datetime) -> AskedUsage:
    assert subscription.usage_from_n is not None, "it has meters"
    at, first = now - _LATEST, 0
    if at >= subscription.segment.start:
        first = subscription.timetable.number_containing(at)
    return AskedUsage(subscription.id, first, subscription.usage_from_n)


def _ended(start: datetime, end: datetime, earlier: Sequence[datetime | None]) -> datetime:
    return min(end, *(each for each in earlier if each is not None and each > start), end)


def _share(subscription: Subscription, n: int) -> tuple[int, int]:
    if n < subscription.segment_from_n:
        return 1, 1
    scheduled = subscription.segment.nth(n)
    return scheduled.part, scheduled.whole


def _openings(
    levels: Mapping[tuple[UUID, str], Mapping[tuple[int, int], Fraction]], owner: UUID, n: int
) -> Mapping[str, Fraction]:
    """Return each level at the begin of a period: all that its events before changed it by."""
    return {
        meter: sum((by for (number, _), by in changes.items() if number < n), Fraction(0))
        for (subscription_id, meter), changes in levels.items()
        if subscription_id == owner
    }
