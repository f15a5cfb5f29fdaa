"""What is still to be done: cycles, payments, refunds and calls about taxes that are due."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

_QUIET = text(
    """
    SELECT NOT EXISTS (SELECT FROM subscriptions
                        WHERE parked_at IS NULL AND opens_at IS NOT NULL AND opens_at <= :now)
       AND NOT EXISTS (SELECT FROM subscriptions
                        WHERE parked_at IS NULL AND usage_due_at IS NOT NULL
                          AND usage_due_at <= :now)
       AND NOT EXISTS (SELECT FROM payments
                        WHERE next_attempt_at IS NOT NULL AND parked_at IS NULL
                          AND next_attempt_at <= :now)
       AND NOT EXISTS (SELECT FROM refunds
                        WHERE next_attempt_at IS NOT NULL AND next_attempt_at <= :now)
       AND NOT EXISTS (SELECT FROM tax_calls
                        WHERE next_attempt_at IS NOT NULL AND next_attempt_at <= :now)
    """
)


def nothing_due(conn: Connection, now: datetime) -> bool:
    """Tell whether every cycle, attempt, refund and call about taxes due by `now` is done."""
    return bool(conn.execute(_QUIET, {"now": now}).scalar())


@dataclass(frozen=True, slots=True)
class Due:
    """What is due and not done. But for renewals, some is `held` until an instant of real time:
    leased by a process that may have died, or waiting to be asked about again.
    """

    renewals: int
    attempts: int
    refunds: int
    taxes: int
    held: int
    held_until: datetime | None


_DUE = text(
    """
    WITH held AS (
        SELECT dispatch_after AS until, 'attempt' AS what FROM payments
         WHERE next_attempt_at IS NOT NULL AND parked_at IS NULL AND next_attempt_at <= :now
         UNION ALL
        SELECT dispatch_after, 'refund' FROM refunds
         WHERE next_attempt_at IS NOT NULL AND next_attempt_at <= :now
         UNION ALL
        SELECT dispatch_after, 'taxes' FROM tax_calls
         WHERE next_attempt_at IS NOT NULL AND next_attempt_at <= :now)
    SELECT (SELECT count(*) FROM subscriptions
             WHERE parked_at IS NULL AND opens_at IS NOT NULL AND opens_at <= :now)
           + (SELECT count(*) FROM subscriptions
               WHERE parked_at IS NULL AND usage_due_at IS NOT NULL
                 AND usage_due_at <= :now) AS renewals,
           count(*) FILTER (WHERE what = 'attempt') AS attempts,
           count(*) FILTER (WHERE what = 'refund') AS refunds,
           count(*) FILTER (WHERE what = 'taxes') AS taxes,
           count(*) FILTER (WHERE until > :wall) AS held,
           max(until) FILTER (WHERE until > :wall) AS held_until
      FROM held
    """
)


def due(conn: Connection, now: datetime, wall: datetime) -> Due:
    """Count what is due by `now`, and what of it is held at this real time."""
    return Due(*conn.execute(_DUE, {"now": now, "wall": wall}).one())


_NEXT = text(
    """
    SELECT LEAST((SELECT min(opens_at) FROM subscriptions
                   WHERE parked_at IS NULL AND opens_at IS NOT NULL),
                 (SELECT min(usage_due_at) FROM subscriptions
                   WHERE parked_at IS NULL AND usage_due_at IS NOT NULL),
                 (SELECT min(next_attempt_at) FROM payments
                   WHERE next_attempt_at IS NOT NULL AND parked_at IS NULL),
                 (SELECT min(next_attempt_at) FROM refunds
                   WHERE next_attempt_at IS NOT NULL),
                 (SELECT min(next_attempt_at) FROM tax_calls
                   WHERE next_attempt_at IS NOT NULL)) AS at
    """
)


def next_due_instant(conn: Connection) -> datetime | None:
    """Return the earliest instant at which a cycle, an attempt or a refund is due, if any is."""
    return conn.execute(_NEXT).scalar()


def unsettled(conn: Connection) -> int:
    """Count captures whose settlement the provider has not listed yet.

    A capture whose settlement differs has a break, waits for a person and is not counted.
    """
    query = text(
        "SELECT count(*) FROM payments p WHERE captured_at IS NOT NULL AND settled_at IS NULL"
        "   AND NOT EXISTS (SELECT FROM breaks b"
        "                    WHERE b.payment_id = p.id AND b.resolved_at IS NULL)"
    )
    return int(conn.execute(query).scalar_one())
