"""The segments of subscriptions that have begun: which schedule is that of which periods."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, select, update
from sqlalchemy.dialects.postgresql import insert

from billing.rules.periods import schedule_of
from billing.rules.segments import Segment, Timetable
from billing.store.subscriptions.subscriptions import Subscription
from billing.store.tables import segments, subscriptions


def of_row(row: Row[Any]) -> Segment:
    """Return the segment of a row. Raises: ValueError where its parts make no schedule."""
    schedule = schedule_of(
        row.anchor_local,
        row.zone,
        row.every,
        row.trial,
        row.anchor_day,
        row.anchor_month,
        row.anchor_weekday,
        row.month_day,
    )
    return Segment(row.from_n, row.starts_at, schedule)


def timetable(conn: Connection, subscription: Subscription) -> Timetable:
    """Return all segments of a subscription: what was, what is, and what is to come."""
    query = select(segments).where(segments.c.subscription_id == subscription.id)
    begun = [of_row(row) for row in conn.execute(query.order_by(segments.c.from_n))]
    return Timetable((*begun[:-1], *subscription.timetable.segments))


def begin(
    conn: Connection, before: Subscription, begun: Sequence[Segment], to_come: Sequence[Segment]
) -> None:
    """Let segments of a (locked) subscription begin, whose cycles are open.

    The last one is that of its next cycle. `before` is as it was; its first segment becomes a row
    as well.
    """
    first = [] if begun[0].from_n == 0 else [before.segment]
    for segment in (*first, *begun) if before.segment_from_n == 0 else begun:
        row = {
            "subscription_id": before.id,
            "from_n": segment.from_n,
            "starts_at": segment.starts_at,
            **segment.columns(),
        }
        conn.execute(insert(segments).values(**row).on_conflict_do_nothing())
    after = before.in_segments(begun[-1], to_come)
    conn.execute(
        update(subscriptions)
        .where(subscriptions.c.id == before.id)
        .values(
            segment_from_n=after.segment_from_n,
            segment_starts_at=after.segment_starts_at,
            segments_to_come=after.segments_to_come,
            **after.segment.columns(),
        )
    )


def plan(conn: Connection, subscription_id: UUID, to_come: Sequence[Segment]) -> None:
    """Write which segments of a (locked) subscription are to come."""
    documents = [each.document() for each in to_come]
    conn.execute(
        update(subscriptions)
        .where(subscriptions.c.id == subscription_id)
        .values(segments_to_come=documents or None)
    )
