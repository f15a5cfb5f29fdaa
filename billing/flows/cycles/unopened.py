"""Periods that had begun without a cycle when their subscription ended, where usage was counted.

Nothing is charged in advance for them: their usage is billed after the end.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.flows.cycles.charging import Holdings
from billing.flows.cycles.held_terms import in_plan
from billing.plans.terms import version_for_period
from billing.rules.item_changes import ItemChange
from billing.rules.periods import ScheduledPeriod, to_local
from billing.rules.subscriptions import cycle_kind, unpaid_from
from billing.store.subscriptions import changes, plans, referred
from billing.store.subscriptions.cycles import UsedCycle
from billing.store.subscriptions.subscriptions import Subscription


@dataclass(frozen=True, slots=True)
class PeriodAsEnded:
    """A cycle, or one as it would have been opened; when its period ended, and of which share."""

    cycle: UsedCycle
    ends_at: datetime
    share: tuple[int, int]


def read(
    conn: Connection,
    ended: Mapping[UUID, Subscription],
    places: Sequence[tuple[UUID, int]],
    last: Mapping[UUID, UsedCycle],
    asked: Mapping[UUID, Sequence[ItemChange]],
) -> dict[tuple[UUID, int], PeriodAsEnded]:
    """Return periods of (locked) subscriptions that ended, which come after their `last` cycles.

    `asked` are their changes of plan and quantities.
    """
    if not places:
        return {}
    ids, catalog = list(ended), plans.published(conn)
    dated, given_up = changes.of_many(conn, ids), referred.unpaid_since(conn, ids)
    found = {}
    for owner, n in places:
        before = ended[owner]
        scheduled = _scheduled(before, n, last.get(owner))
        start = scheduled.period.start
        held = Holdings(changes=asked.get(owner, ()))
        subscription, _ = in_plan(before.at_period(n), held, start)
        version = version_for_period(
            catalog[subscription.plan].versions,
            subscription.plan_version,
            to_local(start, subscription.zone).date(),
            start,
        )
        its_changes = dated.get(owner, ())
        kind = cycle_kind(its_changes, start, scheduled.kind)
        ends = (before.canceled_at, unpaid_from(its_changes), given_up.get(owner))
        cycle = UsedCycle(
            kind, start, scheduled.period.end, subscription.plan, version.effective, None
        )
        found[owner, n] = PeriodAsEnded(
            cycle,
            min(cycle.period_end, *(each for each in ends if each is not None and each > start)),
            (scheduled.part, scheduled.whole),
        )
    return found


def _scheduled(subscription: Subscription, n: int, last: UsedCycle | None) -> ScheduledPeriod:
    """Return a period that comes after the last cycle: the next one follows it."""
    if n > subscription.next_n:
        return subscription.timetable.nth(n)
    return subscription.timetable.nth_from(n, _start(subscription, last))


def _start(subscription: Subscription, last: UsedCycle | None) -> datetime:
    """Return when a period began that follows the last cycle; the first one follows none."""
    if last is None:
        return subscription.timetable.nth(0).period.start
    return last.cut_at or last.period_end
