"""Sealing days of usage and taking them out, as the owner of the tables.

What a day had is kept beside it, and what it had added to each total: so totals can be counted
again without it.
"""
# ruff: noqa: S608  statements are put together from constants of this file

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import Connection, text

from billing.store.fingerprints import HEX, ID_SUM, MODULUS
from billing.store.rows import reader

_PLACE = "subscription_id, meter, n, segment"
_OF_DAY = """
    at >= CAST(CAST(:day AS date) AS timestamp) AT TIME ZONE 'UTC'
    AND at < CAST(CAST(:day AS date) + 1 AS timestamp) AT TIME ZONE 'UTC'"""


@dataclass(frozen=True, slots=True)
class UsageDay:
    """A day of usage: its events, and how often they counted on meters."""

    day: date
    events: int
    counted: int


_day = reader(UsageDay)
_BEFORE = text(
    """
    SELECT CAST(at AT TIME ZONE 'UTC' AS date) AS day, count(DISTINCT (id, at)) AS events,
           count(*) AS counted
      FROM usage_events
     WHERE at < CAST(CAST(:before AS date) AS timestamp) AT TIME ZONE 'UTC'
     GROUP BY 1 ORDER BY 1
    """
)
_LONGEST = text(
    """
    SELECT coalesce(max(CAST(i ->> 'late_for' AS integer)), 0)
      FROM (SELECT jsonb_array_elements(terms -> 'items') FROM plan_versions
             UNION ALL SELECT jsonb_array_elements(terms -> 'items') FROM plan_corrections
             UNION ALL SELECT terms -> 'item' FROM addon_versions
             UNION ALL SELECT terms -> 'item' FROM addon_corrections) AS published(i)
    """
)
_SEAL_DAY = text(
    f"""
    INSERT INTO usage_days (day, events, counted, id_sum, sealed_at, actor)
    SELECT :day, count(DISTINCT (id, at)), count(*), coalesce({ID_SUM}, 0), :now, :actor
      FROM (SELECT e.*, {HEX.format(id="e.id")} AS id_hex FROM usage_events e WHERE {_OF_DAY}) e
    RETURNING day, events, counted
    """
)
_SEAL_TOTALS = text(
    f"""
    INSERT INTO usage_sealed AS s
           ({_PLACE}, events, id_sum, sum, max, last_at, last_id, last, moment)
    SELECT {_PLACE}, count(*), {ID_SUM}, sum(value), max(value),
           (array_agg(at ORDER BY at DESC, id DESC) FILTER (WHERE value IS NOT NULL))[1],
           (array_agg(id ORDER BY at DESC, id DESC) FILTER (WHERE value IS NOT NULL))[1],
           (array_agg(value ORDER BY at DESC, id DESC) FILTER (WHERE value IS NOT NULL))[1],
           sum(value * extract(epoch FROM at))
      FROM (SELECT e.*, {HEX.format(id="e.id")} AS id_hex FROM usage_events e WHERE {_OF_DAY}) e
     GROUP BY {_PLACE}
        ON CONFLICT ({_PLACE}) DO UPDATE
       SET events = s.events + excluded.events,
           id_sum = mod(s.id_sum + excluded.id_sum, {MODULUS}),
           sum = coalesce(s.sum + excluded.sum, s.sum, excluded.sum),
           max = greatest(s.max, excluded.max),
           last = CASE WHEN (s.last_at, s.last_id) > (excluded.last_at, excluded.last_id)
                         OR excluded.last_at IS NULL THEN s.last ELSE excluded.last END,
           last_id = CASE WHEN (s.last_at, s.last_id) > (excluded.last_at, excluded.last_id)
                            OR excluded.last_at IS NULL THEN s.last_id ELSE excluded.last_id END,
           last_at = greatest(s.last_at, excluded.last_at),
           moment = coalesce(s.moment + excluded.moment, s.moment, excluded.moment)
    """
)
_PARTS = text(
    """
    SELECT c.relname AS name FROM pg_inherits i
      JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = CAST(:parent AS regclass) AND c.relname ~ '_[0-9]{8}$'
     ORDER BY 1
    """
)
_EMPTY = text(f"DELETE FROM usage_events_other WHERE {_OF_DAY}")
_FORGET = text("DELETE FROM usage_ids WHERE received_on < CAST(:before AS date)")


def longest_late_for(conn: Connection) -> timedelta:
    """Return how late usage is accepted at most by anything that was ever published."""
    return timedelta(days=int(conn.execute(_LONGEST).scalar_one()))


def days_before(conn: Connection, before: date) -> Sequence[UsageDay]:
    """Return the days before one that have events, in order."""
    return [_day(row) for row in conn.execute(_BEFORE, {"before": before})]


def seal(conn: Connection, day: date, *, now: datetime, actor: str) -> UsageDay:
    """Keep what a day came to, and take its events out."""
    name = f"usage_events_{day:%Y%m%d}"
    has_table = name in _tables(conn, "usage_events")
    place = name if has_table else "usage_events_other"
    conn.execute(text(f"LOCK TABLE {place} IN SHARE ROW EXCLUSIVE MODE"))
    values = {"day": day, "now": now, "actor": actor}
    sealed = _day(conn.execute(_SEAL_DAY, values).one())
    conn.execute(_SEAL_TOTALS, {"day": day})
    if has_table:
        _drop(conn, "usage_events", name)
    else:
        conn.execute(_EMPTY, {"day": day})
    return sealed


def drop_empty_days(conn: Connection, before: date) -> int:
    """Take out the tables of days before one that have no events; return how many."""
    dropped = 0
    for name in _tables(conn, "usage_events"):
        if name < f"usage_events_{before:%Y%m%d}":
            conn.execute(text(f"LOCK TABLE {name} IN SHARE ROW EXCLUSIVE MODE"))
            if not conn.execute(text(f"SELECT EXISTS (SELECT FROM {name})")).scalar_one():
                _drop(conn, "usage_events", name)
                dropped += 1
    return dropped


def forget_ids(conn: Connection, before: date) -> None:
    """Forget the ids that were received before a day."""
    for name in _tables(conn, "usage_ids"):
        if name < f"usage_ids_{before:%Y%m%d}":
            _drop(conn, "usage_ids", name)
    conn.execute(_FORGET, {"before": before})


def _tables(conn: Connection, parent: str) -> list[str]:
    return [str(row.name) for row in conn.execute(_PARTS, {"parent": f"public.{parent}"})]


def _drop(conn: Connection, parent: str, name: str) -> None:
    conn.execute(text(f"ALTER TABLE {parent} DETACH PARTITION {name}"))
    conn.execute(text(f"DROP TABLE {name}"))
