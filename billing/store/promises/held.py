"""Promise 7: what subscriptions hold by their rows, where that was ever changed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from billing.store.rows import reader


@dataclass(frozen=True, slots=True)
class HeldRows:
    """A subscription as its rows say; the last period that was opened is `since` to `until`."""

    id: UUID
    plan: str
    plan_version: date
    quantity: int
    items: Mapping[str, int]
    since: datetime | None
    until: datetime | None


_of = reader(HeldRows)
_CHANGED: Final = text(
    """
    SELECT s.id, s.plan, s.plan_version, s.quantity,
           (SELECT coalesce(jsonb_object_agg(t.item, t.quantity), '{}') FROM subscription_items t
             WHERE t.subscription_id = s.id AND t.quantity > 0) AS items,
           l.period_start AS since, l.period_end AS until
      FROM subscriptions s
      LEFT JOIN LATERAL (SELECT c.period_start, c.period_end FROM cycles c
                          WHERE c.subscription_id = s.id ORDER BY c.n DESC LIMIT 1) l ON true
     WHERE EXISTS (SELECT FROM subscription_changes h
                    WHERE h.subscription_id = s.id AND h.kind = 'held')
     ORDER BY s.id
    """
)


def changed_ones(conn: Connection) -> Iterator[HeldRows]:
    """Yield what each subscription holds that was ever changed."""
    for row in conn.execute(_CHANGED):
        yield _of(row)
