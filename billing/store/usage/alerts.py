"""Usage that passed a part of what its item includes: where it may have, and that it is noted."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from billing.plans.meters import Meter
from billing.rules.actor import SCHEDULER
from billing.rules.subscriptions import SubscriptionEventKind
from billing.store.arrays import literal


@dataclass(frozen=True, slots=True)
class NewAlert:
    """Usage of a meter, in a period from a segment on, that passed a percentage of its units.

    The quantities are exact texts.
    """

    subscription_id: UUID
    item: str
    meter: str
    n: int
    segment: int
    percent: int
    quantity: str
    included: str


@dataclass(frozen=True, slots=True)
class Passing:
    """A period in which usage of a meter may have passed a threshold, by how many events."""

    subscription_id: UUID
    n: int
    meter: str
    events: int


@dataclass(frozen=True, slots=True)
class WatchedMeter:
    """A meter that an alert is of, and the least quantity that any alert is at."""

    meter: Meter
    least: str


_METERED = text(
    """
    SELECT id FROM subscriptions WHERE usage_from_n IS NOT NULL AND id > :after
     ORDER BY id LIMIT :limit
    """
)


def metered(conn: Connection, after: UUID, limit: int) -> list[UUID]:
    """Return subscriptions that usage is counted for, by id, after one."""
    return list(conn.execute(_METERED, {"after": after, "limit": limit}).scalars())


# A segment that was noted at all of what is included has nothing more to be noted.
_PASSING: Final = text(
    """
    SELECT t.subscription_id, t.n, t.meter, CAST(sum(t.events) AS bigint) AS events
      FROM unnest(CAST(:ids AS uuid[])) AS s(id)
     CROSS JOIN LATERAL (
           SELECT coalesce(max(c.n) + 1, 0) AS n FROM cycles c
            WHERE c.subscription_id = s.id AND c.period_end <= :since) AS f
      JOIN unnest(CAST(:meters AS text[]), CAST(:aggregates AS text[]),
                  CAST(:least AS numeric[])) AS m(code, aggregate, least) ON true
      JOIN usage_totals t ON t.subscription_id = s.id AND t.meter = m.code AND t.n >= f.n
     GROUP BY t.subscription_id, t.n, t.meter
    HAVING sum(CASE m.aggregate WHEN 'count' THEN t.events
                                WHEN 'sum' THEN greatest(t.sum, 0)
                                WHEN 'max' THEN greatest(t.max, 0)
                                WHEN 'last' THEN greatest(t.last, 0)
                                ELSE t.keys END) >= min(m.least)
       AND NOT (max(t.segment) = 0 AND EXISTS (
           SELECT FROM subscription_events e
            WHERE e.kind = 'usage_alert' AND e.subscription_id = t.subscription_id
              AND e.detail ->> 'meter' = t.meter
              AND CAST(e.detail ->> 'n' AS integer) = t.n
              AND CAST(e.detail ->> 'segment' AS integer) = 0
              AND CAST(e.detail ->> 'percent' AS integer) = 100))
     ORDER BY 1, 2, 3
    """
)


def passing(
    conn: Connection, ids: Sequence[UUID], watched: Sequence[WatchedMeter], since: datetime
) -> list[Passing]:
    """Return where usage of subscriptions may have passed a threshold, and isn't noted at 100 %.

    Periods that ended by `since` take no usage any more.
    """
    values = {
        "ids": literal(ids),
        "since": since,
        "meters": literal([each.meter.code for each in watched]),
        "aggregates": literal([str(each.meter.aggregate) for each in watched]),
        "least": literal([each.least for each in watched]),
    }
    return [Passing(**row._mapping) for row in conn.execute(_PASSING, values)]


_NOTE = text(
    """
    INSERT INTO subscription_events (subscription_id, at, kind, actor, detail)
    SELECT i.id, :now, :kind, :actor, i.detail
      FROM unnest(CAST(:ids AS uuid[]), CAST(:details AS jsonb[])) AS i(id, detail)
        ON CONFLICT DO NOTHING
    RETURNING subscription_id
    """
)


def note(conn: Connection, alerts: Sequence[NewAlert], now: datetime) -> int:
    """Note alerts in the history of their subscriptions, each once; return how many are new."""
    if not alerts:
        return 0
    values = {
        "now": now,
        "kind": str(SubscriptionEventKind.USAGE_ALERT),
        "actor": str(SCHEDULER),
        "ids": literal([each.subscription_id for each in alerts]),
        "details": literal([json.dumps(_detail(each)) for each in alerts]),
    }
    return len(conn.execute(_NOTE, values).all())


def _detail(alert: NewAlert) -> dict[str, object]:
    return {
        "item": alert.item,
        "meter": alert.meter,
        "n": alert.n,
        "segment": alert.segment,
        "percent": alert.percent,
        "quantity": alert.quantity,
        "included": alert.included,
    }
