"""Promise 10: no event of usage counts twice, and none is left uncounted."""
# ruff: noqa: S608  statements are put together from constants of this file

from typing import Final

from billing.rules.promises import FindingKind
from billing.store.fingerprints import HEX, ID_SUM, MODULUS
from billing.store.promises.check import check

_PLACE: Final = "subscription_id, meter, n, segment"
_FIGURES: Final = "events, id_sum, sum, max, last_at, last_id, last, moment"
_LAST: Final = "ORDER BY last_at DESC NULLS LAST, last_id DESC"

# What is kept of events, and what was sealed of them, come to the totals again.
_OF_EVENTS: Final = f"""
    SELECT {_PLACE}, count(*) AS events, {ID_SUM} AS id_sum, sum(value) AS sum, max(value) AS max,
           (array_agg(at ORDER BY at DESC, id DESC) FILTER (WHERE value IS NOT NULL))[1] AS last_at,
           (array_agg(id ORDER BY at DESC, id DESC) FILTER (WHERE value IS NOT NULL))[1] AS last_id,
           (array_agg(value ORDER BY at DESC, id DESC) FILTER (WHERE value IS NOT NULL))[1] AS last,
           sum(value * extract(epoch FROM at)) AS moment
      FROM (SELECT e.*, {HEX.format(id="e.id")} AS id_hex FROM usage_events e) e
     GROUP BY {_PLACE}"""
_COUNTED_AGAIN: Final = f"""
    SELECT {_PLACE}, sum(events) AS events, mod(sum(id_sum), {MODULUS}) AS id_sum,
           sum(sum) AS sum, max(max) AS max, max(last_at) AS last_at,
           (array_agg(last_id {_LAST}))[1] AS last_id, (array_agg(last {_LAST}))[1] AS last,
           sum(moment) AS moment
      FROM (SELECT {_PLACE}, {_FIGURES} FROM usage_sealed UNION ALL {_OF_EVENTS}) parts
     GROUP BY {_PLACE}"""

_TOTAL = check(
    FindingKind.USAGE_TOTAL,
    f"""
    SELECT coalesce(t.subscription_id, c.subscription_id) AS subscription,
           coalesce(t.meter, c.meter) AS meter, coalesce(t.n, c.n) AS n,
           coalesce(t.segment, c.segment) AS segment,
           coalesce(t.events, 0) AS events, coalesce(c.events, 0) AS counted_again
      FROM usage_totals t
      FULL JOIN ({_COUNTED_AGAIN}) c
        ON (c.subscription_id, c.meter, c.n, c.segment)
           = (t.subscription_id, t.meter, t.n, t.segment)
     WHERE (t.events, t.id_sum, t.sum, t.max, t.last_at, t.last_id, t.last, t.moment)
           IS DISTINCT FROM
           (c.events, c.id_sum, c.sum, c.max, c.last_at, c.last_id, c.last, c.moment)""",
    "subscription, meter, n, segment",
)

_KEYS = check(
    FindingKind.USAGE_KEYS,
    f"""
    SELECT coalesce(t.subscription_id, k.subscription_id) AS subscription,
           coalesce(t.meter, k.meter) AS meter, coalesce(t.n, k.n) AS n, t.keys,
           k.keys AS different
      FROM (SELECT * FROM usage_totals WHERE keys IS NOT NULL) t
      FULL JOIN (SELECT {_PLACE}, count(*) AS keys FROM usage_keys GROUP BY {_PLACE}) k
        ON (k.subscription_id, k.meter, k.n, k.segment)
           = (t.subscription_id, t.meter, t.n, t.segment)
     WHERE t.keys IS DISTINCT FROM k.keys""",
    "subscription, meter, n",
)

_KEY_OF_EVENT = check(
    FindingKind.USAGE_KEY_MISSING,
    """
    SELECT e.subscription_id AS subscription, e.meter, e.n, e.id AS event
      FROM usage_events e
     WHERE e.key IS NOT NULL
       AND NOT EXISTS (SELECT FROM usage_keys k
                        WHERE (k.subscription_id, k.meter, k.n, k.segment, k.key)
                              = (e.subscription_id, e.meter, e.n, e.segment, e.key))""",
    "event, meter",
)

# An event on several meters is one event: its instant, subscription and payload are the same.
_TWICE = check(
    FindingKind.USAGE_COUNTED_TWICE,
    """
    SELECT id AS event, count(*) AS times, min(at) AS first, max(at) AS last
      FROM usage_events GROUP BY id
    HAVING count(DISTINCT (at, subscription_id, payload)) > 1""",
    "event",
)

_ID_OF_EVENT = check(
    FindingKind.USAGE_ID_OF_EVENT,
    """
    SELECT i.id AS event, min(i.received_on) AS received_on, min(i.at) AS at
      FROM usage_ids i
     WHERE i.at >= coalesce((SELECT CAST(max(d.day) + 1 AS timestamp) AT TIME ZONE 'UTC'
                               FROM usage_days d), '-infinity')
       AND NOT EXISTS (SELECT FROM usage_events e
                        WHERE (e.id, e.at, e.payload) = (i.id, i.at, i.payload)
                          AND i.received_on
                              BETWEEN CAST(e.received_at AT TIME ZONE 'UTC' AS date) - 1
                                  AND CAST(e.received_at AT TIME ZONE 'UTC' AS date))
     GROUP BY i.id""",
    "event",
)

_RECEIVED = check(
    FindingKind.USAGE_RECEIVED,
    """
    SELECT r.accepted, r.counted, t.events AS in_totals, e.events AS events,
           s.events AS sealed
      FROM (SELECT coalesce(sum(events) FILTER (WHERE outcome = 'accepted'), 0) AS accepted,
                   coalesce(sum(events) FILTER (WHERE outcome = 'counted'), 0) AS counted,
                   coalesce(sum(events) FILTER (WHERE outcome = 'late'), 0) AS late
              FROM usage_counts) r,
           (SELECT coalesce(sum(events), 0) AS events FROM usage_totals) t,
           (SELECT count(DISTINCT (id, at)) AS events FROM usage_events) e,
           (SELECT coalesce(sum(events), 0) AS events FROM usage_days) s
     WHERE r.counted <> t.events OR r.accepted <> e.events + s.events OR r.late > r.accepted""",
    "accepted",
)

_SEALED = check(
    FindingKind.USAGE_SEALED,
    f"""
    SELECT d.counted, s.events, d.id_sum, s.id_sum AS id_sum_of_totals, e.events AS left_over
      FROM (SELECT coalesce(sum(counted), 0) AS counted,
                   mod(coalesce(sum(id_sum), 0), {MODULUS}) AS id_sum FROM usage_days) d,
           (SELECT coalesce(sum(events), 0) AS events,
                   mod(coalesce(sum(id_sum), 0), {MODULUS}) AS id_sum FROM usage_sealed) s,
           (SELECT count(*) AS events FROM usage_events
             WHERE at < (SELECT CAST(max(day) + 1 AS timestamp) AT TIME ZONE 'UTC'
                           FROM usage_days)) e
     WHERE (d.counted, d.id_sum) <> (s.events, s.id_sum) OR e.events > 0""",
    "counted",
)

COUNTED_ONCE: Final = (_TOTAL, _KEYS, _KEY_OF_EVENT, _TWICE, _ID_OF_EVENT, _RECEIVED, _SEALED)
