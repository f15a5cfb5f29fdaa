"""Comparing a subscription's segments with the changes that they follow from."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row

from billing.rules.item_changes import ItemChange, orders_of
from billing.rules.promises import Finding, FindingKind
from billing.rules.schedule_orders import planned
from billing.rules.segments import Segment, Timetable
from billing.store.promises import one_cycle
from billing.store.promises.one_cycle import Scheduled
from billing.store.subscriptions import segments


class KnownSegments:
    """What was read of all subscriptions whose schedule was ever changed."""

    def __init__(self, conn: Connection, changes: Mapping[UUID, Sequence[ItemChange]]) -> None:
        self._rows: Mapping[UUID, Sequence[Row[Any]]] = one_cycle.segments(conn)
        self._changes = changes

    def timetable(self, scheduled: Scheduled) -> Timetable:
        """Return the timetable of the segments that have begun. Raises: ValueError."""
        rows = [segments.of_row(row) for row in self._rows.get(scheduled.id, ())]
        return Timetable((*rows[:-1], scheduled.segment))

    def differences(self, scheduled: Scheduled) -> Iterator[Finding]:
        """Yield what of the segments doesn't follow from changes. Raises: ValueError."""
        rows = [segments.of_row(row) for row in self._rows.get(scheduled.id, ())]
        to_come = [Segment.of_document(each) for each in scheduled.segments_to_come or ()]
        stored = [*(rows or [scheduled.segment]), *to_come]
        starts = {cycle.n: cycle.period_start for cycle in scheduled.cycles}
        if scheduled.renews_at is not None:
            starts[scheduled.next_n] = scheduled.renews_at
        orders = orders_of(self._changes.get(scheduled.id, ()))
        due = [stored[0], *planned(stored[0], orders, starts)]
        if rows and rows[-1] != scheduled.segment:
            due = [*rows[:-1], scheduled.segment, *to_come]
        cut = {dated.cuts + 1 for dated in orders if dated.cuts is not None}
        begun = {cycle.n for cycle in scheduled.cycles if cycle.after_cut}
        if cut != begun:
            told = {"stored": f"with cuts before {sorted(begun)}", "planned": str(sorted(cut))}
            yield Finding(
                FindingKind.SEGMENTS_AGAINST_CHANGES, {"subscription": scheduled.id, **told}
            )
        if stored != due:
            told = {"stored": _told(stored), "planned": _told(due)}
            facts = {"subscription": scheduled.id, **told}
            yield Finding(FindingKind.SEGMENTS_AGAINST_CHANGES, facts)


def _told(segments: Sequence[Segment]) -> str:
    return "; ".join(
        f"from {each.from_n} every {each.schedule.cadence} in {each.schedule.anchor.zone}"
        f" from {each.schedule.anchor.local.isoformat()}"
        for each in segments
    )
