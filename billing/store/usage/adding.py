"""Adding a batch of events: identity, events and totals in one statement, which is a transaction.

Every process locks in one order, so that batches wait for each other and never in a circle: events
by id, keys, ids, totals, and then what was received.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, TextClause, text
from sqlalchemy.exc import IntegrityError

from billing.store.arrays import literal
from billing.store.fingerprints import HEX, ID_SUM, MODULUS

IDS_KEPT_DAYS: Final = 3
"""For how many days an id is remembered beside its event."""
MIDNIGHT: Final = timedelta(minutes=10)
"""How long after midnight ids are kept under the day before, too.

Two processes may receive one id at midnight, each on a day of its own.
"""


class NewUsage(NamedTuple):
    """One event on one meter; of an event on several, one is the `first`."""

    id: UUID
    at: datetime
    payload: int
    subscription_id: UUID
    meter: str
    n: int
    segment: int
    value: str | None
    key: UUID | None
    first: bool = True


@dataclass(frozen=True, slots=True)
class Seen:
    """How a subscription was when it was read: what changes with each write of its row.

    And the number of its last change.
    """

    version: str
    change: int


@dataclass(frozen=True, slots=True)
class Added:
    """What became of a batch. Of `again` and `stale` nothing is counted: they are to be tried anew.

    `stale` are subscriptions that changed since they were read; `again` events that another
    transaction received meanwhile.
    """

    repeated: frozenset[UUID] = frozenset()
    conflicting: frozenset[UUID] = frozenset()
    sealed: frozenset[UUID] = frozenset()
    again: frozenset[UUID] = frozenset()
    stale: frozenset[UUID] = frozenset()
    late: int = 0


@dataclass(frozen=True, slots=True)
class UsageBatch:
    """Events of subscriptions as they were seen, and how many others had which outcome.

    `twice`: they may have been received so long ago that their ids aren't kept any more.
    """

    rows: Sequence[NewUsage]
    seen: Mapping[UUID, Seen]
    outcomes: Mapping[str, int] = field(default_factory=dict)
    twice: bool = False


# No id was received later than tomorrow, by a clock that is ahead: tables of later days are empty.
_KNOWN: Final = """
        SELECT u.at, u.payload, u.received_on FROM usage_ids u
         WHERE u.id = i.id
           AND u.received_on BETWEEN CAST(:ids_from AS date) AND CAST(:ids_until AS date)
"""
_KNOWN_LONG: Final = """
        SELECT u.at, u.payload, u.received_on FROM usage_ids u
         WHERE u.id = i.id
           AND u.received_on BETWEEN CAST(:ids_from AS date) AND CAST(:ids_until AS date)
         UNION ALL
        SELECT e.at, e.payload, CAST(e.received_at AT TIME ZONE 'UTC' AS date) FROM usage_events e
         WHERE e.id = i.id AND e.at = i.at
"""
_ADD: Final = """
WITH stale AS MATERIALIZED (
  SELECT array_agg(k.id) AS ids
    FROM unnest(CAST(:subscriptions AS uuid[]), CAST(:versions AS text[]),
                CAST(:changes AS bigint[])) AS k(id, version, change)
    LEFT JOIN subscriptions s ON s.id = k.id
   WHERE CAST(s.xmin AS text) IS DISTINCT FROM k.version
      OR k.change <> coalesce((SELECT max(c.id) FROM subscription_changes c
                                WHERE c.subscription_id = k.id), 0)
),
sealed AS MATERIALIZED (
  SELECT CAST(max(day) + 1 AS timestamp) AT TIME ZONE 'UTC' AS until FROM usage_days
),
incoming AS MATERIALIZED (
  SELECT i.*,
         CASE WHEN i.at < (SELECT until FROM sealed) THEN 'sealed'
              WHEN u.at IS NULL THEN 'new'
              WHEN (u.at, u.payload) = (i.at, i.payload) THEN 'repeated'
              ELSE 'conflicting' END AS state
    FROM unnest(CAST(:ids AS uuid[]), CAST(:ats AS timestamptz[]), CAST(:payloads AS bigint[]),
                CAST(:of AS uuid[]), CAST(:meters AS text[]), CAST(:ns AS integer[]),
                CAST(:segments AS smallint[]), CAST(:values AS numeric[]),
                CAST(:keys AS uuid[]), CAST(:firsts AS boolean[]))
         AS i(id, at, payload, subscription_id, meter, n, segment, value, key, is_first)
    LEFT JOIN LATERAL ({known} ORDER BY 3 LIMIT 1) AS u ON true
   WHERE (SELECT ids FROM stale) IS NULL
),
added AS (
  INSERT INTO usage_events
         (id, at, meter, subscription_id, n, segment, value, key, received_at, payload)
  SELECT id, at, meter, subscription_id, n, segment, value, key, CAST(:now AS timestamptz), payload
    FROM incoming WHERE state = 'new' ORDER BY id, at, meter
      ON CONFLICT DO NOTHING
  RETURNING id, at, meter, subscription_id, n, segment, value, key, payload
),
met AS (
  INSERT INTO usage_keys (subscription_id, meter, n, segment, key)
  SELECT DISTINCT subscription_id, meter, n, segment, key FROM added WHERE key IS NOT NULL
   ORDER BY 1, 2, 3, 4, 5
      ON CONFLICT DO NOTHING
  RETURNING subscription_id, meter, n, segment
),
kept AS (
  INSERT INTO usage_ids (id, received_on, at, payload)
  SELECT a.id, d.day, min(a.at), min(a.payload)
    FROM added a CROSS JOIN unnest(CAST(:days AS date[])) AS d(day)
   WHERE (SELECT count(*) FROM met) >= 0
   GROUP BY a.id, d.day ORDER BY 1, 2
  RETURNING id
),
sums AS MATERIALIZED (
  SELECT subscription_id, meter, n, segment, count(*) AS events,
         {id_sum} AS id_sum,
         sum(value) AS sum, max(value) AS max,
         (array_agg(at ORDER BY at DESC, id DESC) FILTER (WHERE value IS NOT NULL))[1] AS last_at,
         (array_agg(id ORDER BY at DESC, id DESC) FILTER (WHERE value IS NOT NULL))[1] AS last_id,
         (array_agg(value ORDER BY at DESC, id DESC) FILTER (WHERE value IS NOT NULL))[1] AS last,
         sum(value * extract(epoch FROM at)) AS moment,
         CASE WHEN count(key) > 0 THEN 0 END AS keys
    FROM (SELECT a.*, {id_hex} AS id_hex FROM added a) AS a
   WHERE (SELECT count(*) FROM kept) >= 0
   GROUP BY subscription_id, meter, n, segment
),
totals AS (
  INSERT INTO usage_totals AS t
         (subscription_id, meter, n, segment, events, id_sum, sum, max, last_at, last_id, last,
          moment, keys)
  SELECT subscription_id, meter, n, segment, sum(events), sum(id_sum), sum(sum), max(max),
         max(last_at), (array_agg(last_id ORDER BY last_id IS NULL))[1],
         max(last), sum(moment), sum(keys)
    FROM (SELECT * FROM sums
           UNION ALL
          SELECT subscription_id, meter, n, segment, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL,
                 count(*)
            FROM met GROUP BY subscription_id, meter, n, segment) AS x
   GROUP BY subscription_id, meter, n, segment ORDER BY 1, 2, 3, 4
      ON CONFLICT (subscription_id, meter, n, segment) DO UPDATE
     SET events = t.events + excluded.events,
         id_sum = mod(t.id_sum + excluded.id_sum, {modulus}),
         sum = coalesce(t.sum + excluded.sum, t.sum, excluded.sum),
         max = greatest(t.max, excluded.max),
         last = CASE WHEN (t.last_at, t.last_id) > (excluded.last_at, excluded.last_id)
                       OR excluded.last_at IS NULL THEN t.last ELSE excluded.last END,
         last_id = CASE WHEN (t.last_at, t.last_id) > (excluded.last_at, excluded.last_id)
                          OR excluded.last_at IS NULL THEN t.last_id ELSE excluded.last_id END,
         last_at = greatest(t.last_at, excluded.last_at),
         moment = coalesce(t.moment + excluded.moment, t.moment, excluded.moment),
         keys = coalesce(t.keys + excluded.keys, t.keys, excluded.keys)
  RETURNING events
),
late AS MATERIALIZED (
  SELECT count(DISTINCT a.id) AS events
    FROM (SELECT s.subscription_id, s.meter, s.n, s.segment FROM sums s
           WHERE EXISTS (SELECT FROM usage_closings c
                          WHERE (c.subscription_id, c.meter, c.n, c.segment)
                                = (s.subscription_id, s.meter, s.n, s.segment))) s
    JOIN added a USING (subscription_id, meter, n, segment)
),
received AS (
  INSERT INTO usage_counts AS c (received_on, outcome, slot, events)
  SELECT CAST(:today AS date), o.outcome, pg_backend_pid() % 16, sum(o.events)
    FROM (SELECT 'accepted' AS outcome, count(DISTINCT id) AS events FROM added
           UNION ALL SELECT 'counted', count(*) FROM added
           UNION ALL SELECT 'late', events FROM late
           UNION ALL SELECT CASE state WHEN 'sealed' THEN 'too_old' ELSE state END, count(*)
                       FROM incoming WHERE state <> 'new' AND is_first GROUP BY 1
           UNION ALL SELECT * FROM unnest(CAST(:outcomes AS text[]), CAST(:numbers AS bigint[]))
                      WHERE (SELECT ids FROM stale) IS NULL) AS o(outcome, events)
   WHERE o.events > 0 AND (SELECT count(*) FROM totals) >= 0
   GROUP BY o.outcome ORDER BY o.outcome
      ON CONFLICT (received_on, outcome, slot) DO UPDATE
     SET events = c.events + excluded.events
  RETURNING events
)
SELECT (SELECT ids FROM stale) AS stale, (SELECT events FROM late) AS late,
       (SELECT count(*) FROM received) AS received,
       array_agg(id) FILTER (WHERE state = 'repeated') AS repeated,
       array_agg(id) FILTER (WHERE state = 'conflicting') AS conflicting,
       array_agg(id) FILTER (WHERE state = 'sealed') AS sealed,
       CASE WHEN count(*) FILTER (WHERE state = 'new') > (SELECT count(*) FROM added)
            THEN ARRAY(SELECT id FROM incoming WHERE state = 'new'
                       EXCEPT SELECT id FROM added) END AS again
  FROM incoming
"""


def _statement(known: str) -> TextClause:
    parts = {"known": known, "id_sum": ID_SUM, "id_hex": HEX.format(id="a.id"), "modulus": MODULUS}
    return text(_ADD.format(**parts))


_FIRST: Final = _statement(_KNOWN)
_TWICE: Final = _statement(_KNOWN_LONG)


def add(conn: Connection, batch: UsageBatch, now: datetime) -> Added:
    """Count events once, in one transaction of its own: `conn` commits each statement.

    Raises: IntegrityError, when another transaction kept one of the ids meanwhile: try again.
    """
    rows = sorted(batch.rows, key=lambda row: (row.id.int, row.at, row.meter))
    statement = _TWICE if batch.twice else _FIRST
    found = conn.execute(statement, _values(rows, batch, now)).one()
    return Added(
        repeated=frozenset(found.repeated or ()),
        conflicting=frozenset(found.conflicting or ()),
        sealed=frozenset(found.sealed or ()),
        again=frozenset(found.again or ()),
        stale=frozenset(found.stale or ()),
        late=int(found.late or 0),
    )


def is_raced(error: IntegrityError) -> bool:
    """Tell whether another transaction kept an id at the same time."""
    return "usage_ids" in str(error.orig)


def _values(rows: Sequence[NewUsage], batch: UsageBatch, now: datetime) -> dict[str, Any]:
    seen = batch.seen
    today = now.date()
    return {
        "ids": literal([row.id for row in rows]),
        "ats": literal([row.at for row in rows]),
        "payloads": literal([row.payload for row in rows]),
        "of": literal([row.subscription_id for row in rows]),
        "meters": literal([row.meter for row in rows]),
        "ns": literal([row.n for row in rows]),
        "segments": literal([row.segment for row in rows]),
        "values": "{" + ",".join([row.value or "NULL" for row in rows]) + "}",
        "keys": literal([row.key for row in rows]),
        "firsts": "{" + ",".join(["t" if row.first else "f" for row in rows]) + "}",
        "subscriptions": literal(list(seen)),
        "versions": literal([each.version for each in seen.values()]),
        "changes": literal([each.change for each in seen.values()]),
        "outcomes": literal(list(batch.outcomes)),
        "numbers": literal(list(batch.outcomes.values())),
        "now": now,
        "today": today,
        "days": literal(_days(now)),
        "ids_from": today - timedelta(days=IDS_KEPT_DAYS),
        "ids_until": today + timedelta(days=1),
    }


def _days(now: datetime) -> list[date]:
    """Return the days under which an id is kept that is received now."""
    today, before = now.date(), (now - MIDNIGHT).date()
    return [today] if before == today else [before, today]
