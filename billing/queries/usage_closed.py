"""Usage as the close report sums it up: what was received, and what of it was billed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, text

from billing.queries.usage import received
from billing.rules.usage import UsageRefusal


@dataclass(frozen=True, slots=True)
class ReceivedUsage:
    """Events since there is usage, by what became of them.

    Those received are accepted, repeated, conflicting or refused. `late` of those accepted came
    after the usage of their period was billed. One that is accepted counts on each of its meters:
    `counted` is the sum of that.
    """

    received: int
    accepted: int
    late: int
    repeated: int
    conflicting: int
    refused: int
    counted: int
    reasons: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class MonthOfUsage:
    """Events of a meter in the periods that began in a month (UTC), by what became of them.

    `billed` were counted by the first closing of their period, and `late` by later ones, be it that
    an invoice bills them or that what got cheaper is given back. `unbilled` are closed without an
    invoice, as those of a free trial; `forgiven` are those that a cancellation forgave, and
    `waiting` those that are to be closed.
    """

    month: str
    meter: str
    periods: int
    counted: int
    billed: int
    late: int
    unbilled: int
    forgiven: int
    waiting: int


_MONTHS: Final = text(
    """
    WITH closed AS (
      SELECT c.subscription_id, c.meter, c.n, c.segment, max(c.events) AS events,
             min(c.events) FILTER (WHERE c.revision = 1 AND c.invoice_id IS NOT NULL) AS first,
             max(c.events) FILTER (WHERE c.revision = 1 AND c.invoice_id IS NULL) AS nothing,
             bool_or(c.revision > 1 AND c.invoice_id IS NOT NULL) AS billed_later
        FROM usage_closings c
       GROUP BY c.subscription_id, c.meter, c.n, c.segment
    ), parts AS (
      SELECT t.subscription_id, t.meter, t.n, t.events AS counted, coalesce(c.events, 0) AS closed,
             coalesce(c.first, 0) AS billed,
             CASE WHEN c.first IS NOT NULL OR c.billed_later
                  THEN coalesce(c.events - coalesce(c.first, c.nothing, 0), 0) ELSE 0 END AS late
        FROM usage_totals t
        LEFT JOIN closed c USING (subscription_id, meter, n, segment)
    )
    SELECT to_char(coalesce(y.period_start, s.canceled_at, s.renews_at) AT TIME ZONE 'UTC',
                   'YYYY-MM') AS month,
           p.meter, count(DISTINCT (p.subscription_id, p.n)) AS periods,
           CAST(sum(p.counted) AS bigint) AS counted, CAST(sum(p.billed) AS bigint) AS billed,
           CAST(sum(p.late) AS bigint) AS late,
           CAST(sum(p.closed - p.billed - p.late) AS bigint) AS unbilled,
           CAST(coalesce(sum(p.counted - p.closed) FILTER (WHERE s.canceled_at IS NOT NULL
                         AND s.usage_due_at IS NULL), 0) AS bigint) AS forgiven,
           CAST(coalesce(sum(p.counted - p.closed) FILTER (WHERE s.canceled_at IS NULL
                         OR s.usage_due_at IS NOT NULL), 0) AS bigint) AS waiting
      FROM parts p
      JOIN subscriptions s ON s.id = p.subscription_id
      LEFT JOIN cycles y ON y.subscription_id = p.subscription_id AND y.n = p.n
     GROUP BY 1, 2 ORDER BY 1, 2
    """
)


def received_usage(conn: Connection) -> ReceivedUsage:
    """Return how many events were received, and what became of them."""
    found = received(conn)
    reasons = {str(reason): found[str(reason)] for reason in UsageRefusal if found.get(str(reason))}
    accepted, late, repeated, conflicting, counted = (
        found.get(name, 0) for name in ("accepted", "late", "repeated", "conflicting", "counted")
    )
    refused = sum(reasons.values())
    return ReceivedUsage(
        received=accepted + repeated + conflicting + refused,
        accepted=accepted,
        late=late,
        repeated=repeated,
        conflicting=conflicting,
        refused=refused,
        counted=counted,
        reasons=reasons,
    )


def by_month(conn: Connection) -> Sequence[MonthOfUsage]:
    """Return what was counted and billed, by month and meter."""
    return [MonthOfUsage(**row._mapping) for row in conn.execute(_MONTHS)]
