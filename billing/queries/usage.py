"""Usage for people: what was counted for a subscription, what was billed of it, the last events."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text


@dataclass(frozen=True, slots=True)
class UsageTotal:
    """What the events of a meter came to in a period, and how much of it was billed last.

    `keys` are how many different ones they had. `billed` is the quantity of the last closing, None
    before the first one.
    """

    meter: str
    n: int
    segment: int
    events: int
    sum: Fraction | None
    max: Fraction | None
    last: Fraction | None
    last_at: datetime | None
    keys: int | None
    billed: Fraction | None
    revision: int | None


@dataclass(frozen=True, slots=True)
class CountedEvent:
    """One event as it was counted on a meter."""

    id: UUID
    at: datetime
    meter: str
    n: int
    value: Fraction | None
    key: UUID | None
    received_at: datetime


@dataclass(frozen=True, slots=True)
class UsageAlert:
    """Usage of an item that passed a percentage of what is included; `at` is when it was noted."""

    at: datetime
    item: str
    meter: str
    n: int
    segment: int
    percent: int
    quantity: str
    included: str


_NUMBERS = ("sum", "max", "last", "billed", "value")
_TOTALS = text(
    """
    SELECT t.meter, t.n, t.segment, t.events, CAST(t.sum AS text) AS sum,
           CAST(t.max AS text) AS max, CAST(t.last AS text) AS last, t.last_at, t.keys,
           CAST(c.quantity AS text) AS billed, c.revision
      FROM usage_totals t
      LEFT JOIN LATERAL (SELECT c.quantity, c.revision FROM usage_closings c
                          WHERE (c.subscription_id, c.meter, c.n, c.segment)
                                = (t.subscription_id, t.meter, t.n, t.segment)
                          ORDER BY c.revision DESC LIMIT 1) c ON true
     WHERE t.subscription_id = :subscription AND t.n >= :from_n
     ORDER BY t.n, t.meter, t.segment
    """
)
_LAST = text(
    """
    SELECT id, at, meter, n, CAST(value AS text) AS value, key, received_at
      FROM usage_events
     WHERE subscription_id = :subscription AND at >= :since
     ORDER BY at DESC, id DESC, meter LIMIT :limit
    """
)
_BY_ID = text(
    """
    SELECT id, at, meter, n, CAST(value AS text) AS value, key, received_at
      FROM usage_events WHERE subscription_id = :subscription AND id = :id ORDER BY meter
    """
)
_ALERTS = text(
    """
    SELECT e.at, d.* FROM subscription_events e,
           jsonb_to_record(e.detail) AS d(item text, meter text, n integer, segment integer,
                                          percent integer, quantity text, included text)
     WHERE e.kind = 'usage_alert' AND e.subscription_id = :subscription AND d.n >= :from_n
     ORDER BY d.n, d.meter, d.segment, d.percent
    """
)
_ALERTED = text("SELECT count(*) FROM subscription_events WHERE kind = 'usage_alert'")
_RECEIVED = text(
    "SELECT outcome, CAST(sum(events) AS bigint) AS events FROM usage_counts GROUP BY 1"
)


def totals(conn: Connection, subscription_id: UUID, *, from_n: int = 0) -> Sequence[UsageTotal]:
    """Return what was counted for a subscription from a period on, by period and meter."""
    values = {"subscription": subscription_id, "from_n": from_n}
    return [UsageTotal(**_exact(row)) for row in conn.execute(_TOTALS, values)]


def last_events(
    conn: Connection, subscription_id: UUID, *, since: datetime, limit: int
) -> Sequence[CountedEvent]:
    """Return the last events of a subscription by their instant, the newest first.

    Only the days since an instant are looked through.
    """
    values = {"subscription": subscription_id, "since": since, "limit": limit}
    return [CountedEvent(**_exact(row)) for row in conn.execute(_LAST, values)]


def events_of(conn: Connection, subscription_id: UUID, event_id: UUID) -> Sequence[CountedEvent]:
    """Return what an event of a subscription counted as, by meter; nothing where it isn't kept."""
    values = {"subscription": subscription_id, "id": event_id}
    return [CountedEvent(**_exact(row)) for row in conn.execute(_BY_ID, values)]


def alerts(conn: Connection, subscription_id: UUID, *, from_n: int = 0) -> Sequence[UsageAlert]:
    """Return which usage of a subscription passed a threshold, from a period on."""
    values = {"subscription": subscription_id, "from_n": from_n}
    return [UsageAlert(**row._mapping) for row in conn.execute(_ALERTS, values)]


def alerted(conn: Connection) -> int:
    """Return how often usage passed a threshold, since there is usage."""
    return int(conn.execute(_ALERTED).scalar_one())


def received(conn: Connection) -> Mapping[str, int]:
    """Return how many events had which outcome, since there is usage."""
    return {row.outcome: row.events for row in conn.execute(_RECEIVED)}


def _exact(row: Row[Any]) -> dict[str, Any]:
    """Return a row's columns, its numbers as fractions."""
    found: dict[str, Any] = dict(row._mapping)
    for name in _NUMBERS:
        if found.get(name) is not None:
            found[name] = Fraction(str(found[name]))
    return found
