"""Promise 1: one cycle a period."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, Row, text

from billing.store.promises.check import check

RENEWAL_OVERDUE = check(
    """
    SELECT id, next_n, renews_at FROM subscriptions
     WHERE parked_at IS NULL AND renews_at IS NOT NULL AND renews_at <= :overdue""",
    "renews_at, id",
    lambda row: (
        f"subscription {row.id}: cycle {row.next_n} is due since {row.renews_at:%Y-%m-%d %H:%M} UTC"
        " and not opened"
    ),
)

_SCHEDULES = text(
    """
    SELECT s.id, s.anchor_local, s.zone, s.every, s.trial, s.anchor_day, s.next_n, s.renews_at,
           c.n, c.kind, c.period_start, c.period_end
      FROM subscriptions s LEFT JOIN cycles c ON c.subscription_id = s.id
     ORDER BY s.id, c.n
    """
)


def schedules_with_cycles(conn: Connection, batch: int) -> Iterator[Sequence[Row[Any]]]:
    """Yield, a subscription at a time, what its cycles are computed from and the cycles it has.

    Read through a cursor of the server, `batch` rows a fetch: nothing is held in memory.
    """
    options = {"stream_results": True, "yield_per": batch}
    with conn.execute(_SCHEDULES, execution_options=options) as rows:
        for _, group in groupby(rows, key=attrgetter("id")):
            yield list(group)
