"""Promise 1: one cycle a period."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from billing.rules.periods import Schedule, schedule_of
from billing.rules.promises import FindingKind
from billing.rules.segments import Segment
from billing.store.promises.check import check
from billing.store.rows import reader

RENEWAL_OVERDUE = check(
    FindingKind.RENEWAL_OVERDUE,
    """
    SELECT id, next_n, coalesce(opens_at, usage_due_at) AS renews_at FROM subscriptions
     WHERE parked_at IS NULL AND (opens_at IS NOT NULL AND opens_at <= :overdue
           OR usage_due_at IS NOT NULL AND usage_due_at <= :overdue)
       AND NOT EXISTS (SELECT FROM tax_calls w
                        WHERE w.subscription_id = subscriptions.id AND w.waits
                          AND w.state = 'open')""",
    "renews_at, id",
)

# What was asked for before a period started decides whether it is billed, as in
# `rules.subscriptions.is_paused`. Pauses that ended before changes were rows have none.
AGAINST_CHANGES = check(
    FindingKind.CYCLE_AGAINST_CHANGES,
    """
    SELECT c.subscription_id, c.n, c.kind, k.kind AS asked, k.holds_from
      FROM (SELECT DISTINCT subscription_id FROM subscription_changes
             WHERE kind IN ('pause', 'resume')) s
      JOIN cycles c ON c.subscription_id = s.subscription_id
      JOIN LATERAL (SELECT a.kind, a.holds_from FROM subscription_changes a
                     WHERE a.subscription_id = c.subscription_id AND a.kind IN ('pause', 'resume')
                       AND a.holds_from < c.period_start AND a.asked_at <= c.opened_at
                     ORDER BY a.id DESC LIMIT 1) k ON true
     WHERE c.kind IN ('regular', 'trial') AND k.kind = 'pause'
        OR c.kind = 'paused' AND k.kind = 'resume'""",
    "subscription_id, n",
)

# A cut is where its change holds, and a change that cuts has its cut.
CUT_AGAINST_CHANGE = check(
    FindingKind.CUT_AGAINST_CHANGE,
    """
    SELECT coalesce(k.subscription_id, a.subscription_id) AS subscription_id, k.n, k.cut_at,
           a.detail ->> 'cuts' AS cuts, a.holds_from
      FROM cycle_cuts k
      FULL JOIN (SELECT * FROM subscription_changes WHERE detail ? 'cuts') a
        ON a.change_id = k.change_id
     WHERE (k.subscription_id, k.n::text, k.cut_at)
           IS DISTINCT FROM (a.subscription_id, a.detail ->> 'cuts', a.holds_from)""",
    "subscription_id, n",
)

_SCHEDULES = text(
    """
    SELECT s.id, s.anchor_local, s.zone, s.every, s.trial, s.anchor_day,
           s.anchor_month, s.anchor_weekday, s.month_day, s.segment_from_n, s.segment_starts_at,
           s.segments_to_come, s.next_n, s.renews_at,
           (SELECT max(a.holds_from) FROM subscription_changes a
             WHERE a.subscription_id = s.id AND a.kind = 'reanchor') AS anchored_from,
           c.n, c.kind, c.period_start, c.period_end, c.after_cut
      FROM subscriptions s LEFT JOIN cycles c ON c.subscription_id = s.id
     ORDER BY s.id, c.n
    """
)


@dataclass(frozen=True, slots=True)
class ScheduledCycle:
    """A cycle as it is compared with its subscription's schedule."""

    n: int
    kind: str
    period_start: datetime
    period_end: datetime
    after_cut: bool


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A subscription: what its cycles are computed from, and the cycles it has, in order.

    Periods that ended by `anchored_from` were computed from a zone whose rules were others.
    """

    id: UUID
    anchor_local: datetime
    zone: str
    every: str
    trial: str | None
    anchor_day: int | None
    anchor_month: int | None
    anchor_weekday: int | None
    month_day: int | None
    segment_from_n: int
    segment_starts_at: datetime | None
    segments_to_come: Sequence[Mapping[str, Any]] | None
    next_n: int
    renews_at: datetime | None
    anchored_from: datetime | None
    cycles: tuple[ScheduledCycle, ...]

    @property
    def segment(self) -> Segment:
        """The segment that its row says. Raises: ValueError where it makes no schedule."""
        return Segment(self.segment_from_n, self.segment_starts_at, self.schedule)

    @property
    def schedule(self) -> Schedule:
        """What boundaries of its segment are computed from. Raises: ValueError."""
        return schedule_of(
            self.anchor_local,
            self.zone,
            self.every,
            self.trial,
            self.anchor_day,
            self.anchor_month,
            self.anchor_weekday,
            self.month_day,
        )


_cycle = reader(ScheduledCycle)


def schedules_with_cycles(conn: Connection, batch: int) -> Iterator[Scheduled]:
    """Yield each subscription with its cycles.

    Read through a cursor of the server, `batch` rows a fetch: nothing is held in memory.
    """
    options = {"stream_results": True, "yield_per": batch}
    with conn.execute(_SCHEDULES, execution_options=options) as rows:
        for _, group in groupby(rows, key=attrgetter("id")):
            of_one = list(group)
            head = of_one[0]
            yield Scheduled(
                id=head.id,
                anchor_local=head.anchor_local,
                zone=head.zone,
                every=head.every,
                trial=head.trial,
                anchor_day=head.anchor_day,
                anchor_month=head.anchor_month,
                anchor_weekday=head.anchor_weekday,
                month_day=head.month_day,
                segment_from_n=head.segment_from_n,
                segment_starts_at=head.segment_starts_at,
                segments_to_come=head.segments_to_come,
                next_n=head.next_n,
                renews_at=head.renews_at,
                anchored_from=head.anchored_from,
                cycles=tuple(_cycle(row) for row in of_one if row.n is not None),
            )


_SEGMENTS = text(
    """
    SELECT subscription_id, from_n, starts_at, anchor_local, zone, every, trial, anchor_day,
           anchor_month, anchor_weekday, month_day
      FROM segments ORDER BY subscription_id, from_n
    """
)


def segments(conn: Connection) -> Mapping[UUID, Sequence[Row[Any]]]:
    """Return the segments that have begun, by subscription, where any but the first has."""
    found: dict[UUID, list[Row[Any]]] = {}
    for row in conn.execute(_SEGMENTS):
        found.setdefault(row.subscription_id, []).append(row)
    return found
