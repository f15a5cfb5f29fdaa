"""The period that had begun without a cycle when its subscription ended, where usage was counted.

Nothing is charged in advance for it: its usage is billed after the end.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.flows.cycles.charging import Holdings
from billing.flows.cycles.held_terms import in_plan
from billing.plans.terms import version_for_period
from billing.rules.item_changes import ItemChange
from billing.rules.periods import to_local
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


def has_ended_in(subscription: Subscription, counted: Collection[object]) -> bool:
    """Tell whether usage was counted in the next period of a subscription, which ended."""
    return subscription.canceled_at is not None and bool(counted)


def read(
    conn: Connection,
    ended: Sequence[Subscription],
    last: Mapping[UUID, UsedCycle],
    asked: Mapping[UUID, Sequence[ItemChange]],
) -> dict[UUID, PeriodAsEnded]:
    """Return the period in which each of (locked) subscriptions ended, by its last cycle.

    `asked` are their changes of plan and quantities.
    """
    if not ended:
        return {}
    ids, catalog = [each.id for each in ended], plans.published(conn)
    dated, given_up = changes.of_many(conn, ids), referred.unpaid_since(conn, ids)
    found = {}
    for before in ended:
        start = _start(before, last.get(before.id))
        scheduled = before.timetable.nth_from(before.next_n, start)
        held = Holdings(changes=asked.get(before.id, ()))
        subscription, _ = in_plan(before.at_period(scheduled.n), held, start)
        version = version_for_period(
            catalog[subscription.plan].versions,
            subscription.plan_version,
            to_local(start, subscription.zone).date(),
            start,
        )
        its_changes = dated.get(before.id, ())
        kind = cycle_kind(its_changes, start, scheduled.kind)
        ends = (before.canceled_at, unpaid_from(its_changes), given_up.get(before.id))
        cycle = UsedCycle(
            kind, start, scheduled.period.end, subscription.plan, version.effective, None
        )
        found[before.id] = PeriodAsEnded(
            cycle,
            min(cycle.period_end, *(each for each in ends if each is not None and each > start)),
            (scheduled.part, scheduled.whole),
        )
    return found


def _start(subscription: Subscription, last: UsedCycle | None) -> datetime:
    """Return when a period began that follows the last cycle; the first one follows none."""
    if last is None:
        return subscription.timetable.nth(0).period.start
    return last.cut_at or last.period_end
