"""Cycles: one row a period, opened by the scheduler, closed by the reconciler, then immutable."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TypedDict
from uuid import UUID

from sqlalchemy import Connection, insert, select, text

from billing.rules.subscriptions import CycleKind, CycleState
from billing.store.arrays import literal
from billing.store.bulk import bulk_insert
from billing.store.rows import reader
from billing.store.tables import cycle_cuts, cycles


@dataclass(frozen=True, slots=True)
class Cycle:
    """One cycle as stored; `digest` is there once it is closed."""

    id: UUID
    subscription_id: UUID
    customer_id: UUID
    n: int
    kind: CycleKind
    period_start: datetime
    period_end: datetime
    plan: str
    plan_version: date
    state: CycleState
    opened_at: datetime
    closed_at: datetime | None
    digest: str | None


class NewCycle(TypedDict):
    """The columns of a cycle that is opened; one may begin where the one before it is cut."""

    id: UUID
    subscription_id: UUID
    customer_id: UUID
    n: int
    kind: CycleKind
    period_start: datetime
    period_end: datetime
    plan: str
    plan_version: date
    opened_at: datetime
    after_cut: bool


_of = reader(Cycle)


def add(conn: Connection, rows: Sequence[NewCycle]) -> None:
    """Open cycles; the database refuses a gap, an overlap or a second one for a period."""
    bulk_insert(conn, cycles, rows)


def cut(
    conn: Connection, subscription_id: UUID, n: int, *, cut_at: datetime, change_id: UUID
) -> None:
    """Cut the last cycle of a (locked) subscription, inside its period.

    The database wants the next one to begin there, in this transaction.
    """
    values = {"subscription_id": subscription_id, "n": n, "cut_at": cut_at, "change_id": change_id}
    conn.execute(insert(cycle_cuts).values(**values))


def cut_at(conn: Connection, subscription_id: UUID, n: int) -> datetime | None:
    """Return where a cycle was cut; None where it wasn't."""
    query = select(cycle_cuts.c.cut_at).where(
        cycle_cuts.c.subscription_id == subscription_id, cycle_cuts.c.n == n
    )
    return conn.execute(query).scalar()


def of_subscription(conn: Connection, subscription_id: UUID) -> list[Cycle]:
    """Return a subscription's cycles in order."""
    query = select(cycles).where(cycles.c.subscription_id == subscription_id).order_by(cycles.c.n)
    return [_of(row) for row in conn.execute(query)]


def last_end(conn: Connection, subscription_id: UUID) -> datetime | None:
    """Return the instant at which a subscription's last cycle ends; None while it has none."""
    found = last(conn, subscription_id)
    return None if found is None else found.period_end


def last(conn: Connection, subscription_id: UUID) -> Cycle | None:
    """Return the last cycle that was opened."""
    query = select(cycles).where(cycles.c.subscription_id == subscription_id)
    row = conn.execute(query.order_by(cycles.c.n.desc()).limit(1)).one_or_none()
    return None if row is None else _of(row)


@dataclass(frozen=True, slots=True)
class UsedCycle:
    """What of a cycle says how its usage is billed; one that was cut ended at `cut_at`."""

    kind: CycleKind
    period_start: datetime
    period_end: datetime
    plan: str
    plan_version: date
    cut_at: datetime | None


_used_of = reader(UsedCycle)
_OF_NUMBERS = text(
    """
    SELECT c.subscription_id, c.n, c.kind, c.period_start, c.period_end, c.plan, c.plan_version,
           k.cut_at
      FROM unnest(CAST(:ids AS uuid[]), CAST(:numbers AS int[])) AS s(id, n)
      JOIN cycles c ON c.subscription_id = s.id AND c.n = s.n
      LEFT JOIN cycle_cuts k ON k.subscription_id = c.subscription_id AND k.n = c.n
     ORDER BY c.subscription_id, c.n
    """
)


def of_numbers(
    conn: Connection, places: Sequence[tuple[UUID, int]]
) -> dict[tuple[UUID, int], UsedCycle]:
    """Return cycles by their subscription and number, in this order."""
    if not places:
        return {}
    ids, numbers = zip(*places, strict=True)
    rows = conn.execute(_OF_NUMBERS, {"ids": literal(ids), "numbers": literal(numbers)})
    return {(row.subscription_id, row.n): _used_of(row) for row in rows}


def get(conn: Connection, cycle_id: UUID) -> Cycle | None:
    """Return one cycle."""
    row = conn.execute(select(cycles).where(cycles.c.id == cycle_id)).one_or_none()
    return None if row is None else _of(row)


# The receivable is read from the journal, not from a stored balance. A paid cycle is closed when
# the provider's settlement of its payment was matched. A written-off cycle stays open until its
# period is over, so that a new card can still pay for it.
_READY = """
    SELECT c.id
      FROM cycles c
      LEFT JOIN invoices i ON i.cycle_id = c.id
      LEFT JOIN payments p ON p.invoice_id = i.id
     WHERE c.state = 'opened'
       AND {which}
       AND (i.id IS NULL
            OR (i.status = 'paid' AND (p.id IS NULL OR p.settled_at IS NOT NULL))
            OR (i.status IN ('void', 'uncollectible') AND p.state = 'FAILED'
                AND c.period_end <= :now))
       AND NOT EXISTS (SELECT FROM attempts a
                        WHERE a.payment_id = p.id AND a.finished_at IS NULL)
       AND NOT EXISTS (SELECT FROM breaks b
                        WHERE b.cycle_id = c.id AND b.resolved_at IS NULL)
       AND NOT EXISTS (SELECT FROM breaks b
                        WHERE b.payment_id = p.id AND b.resolved_at IS NULL)
     ORDER BY c.id
"""
_CLOSABLE = text(_READY.format(which="c.id > :after") + " LIMIT :limit")
_STILL_CLOSABLE = text(_READY.format(which="c.id = ANY(CAST(:ids AS uuid[]))"))


def closable(conn: Connection, now: datetime, limit: int, after: UUID | None = None) -> list[UUID]:
    """Return up to `limit` open cycles that look ready to be closed, by id, after `after`."""
    rows = conn.execute(_CLOSABLE, {"now": now, "limit": limit, "after": after or UUID(int=0)})
    return [row.id for row in rows]


def still_closable(conn: Connection, ids: Sequence[UUID], now: datetime) -> list[UUID]:
    """Return those of `ids` that are ready, as a statement of its own sees them."""
    return [row.id for row in conn.execute(_STILL_CLOSABLE, {"ids": list(ids), "now": now})]


_LOCK = text(
    "SELECT id FROM cycles WHERE id = ANY(:ids) AND state = 'opened' ORDER BY id FOR UPDATE"
)


def lock_opened(conn: Connection, ids: Sequence[UUID]) -> list[UUID]:
    """Lock those of `ids` that are still open; no journal entry can join them meanwhile."""
    return [row.id for row in conn.execute(_LOCK, {"ids": list(ids)})]


_CLOSE = text(
    """
    UPDATE cycles AS c SET state = 'closed', closed_at = :now, digest = x.digest
      FROM unnest(CAST(:ids AS uuid[]), CAST(:digests AS text[])) AS x(id, digest)
     WHERE c.id = x.id AND c.state = 'opened'
    """
)


def close(conn: Connection, digests: Mapping[UUID, str], now: datetime) -> int:
    """Close the given (locked) cycles with their digests and return how many were closed."""
    if not digests:
        return 0
    result = conn.execute(
        _CLOSE, {"ids": list(digests), "digests": list(digests.values()), "now": now}
    )
    return result.rowcount


_WHY_OPEN = text(
    """
    SELECT CASE
             WHEN EXISTS (SELECT FROM breaks b
                           WHERE b.cycle_id = c.id AND b.resolved_at IS NULL)
               OR EXISTS (SELECT FROM breaks b
                           WHERE b.payment_id = p.id AND b.resolved_at IS NULL)
               THEN 'a break is open'
             WHEN EXISTS (SELECT FROM attempts a
                           WHERE a.payment_id = p.id AND a.finished_at IS NULL)
               THEN 'an attempt has no answer'
             WHEN i.status = 'open' THEN 'not paid yet'
             WHEN i.status = 'paid' AND p.settled_at IS NULL THEN 'not settled by the provider yet'
             WHEN i.status IN ('void', 'uncollectible') AND c.period_end > :now
               THEN 'not collected, and its period is not over'
             ELSE 'ready'
           END AS why, count(*) AS n
      FROM cycles c
      LEFT JOIN invoices i ON i.cycle_id = c.id
      LEFT JOIN payments p ON p.invoice_id = i.id
     WHERE c.state = 'opened' AND c.period_end > CAST(:begins AS timestamptz)
       AND c.period_end <= CAST(:ends AS timestamptz)
     GROUP BY 1 ORDER BY 1
    """
)


def why_open(
    conn: Connection,
    now: datetime,
    *,
    begins: datetime | None = None,
    ends: datetime | None = None,
) -> dict[str, int]:
    """Count the open cycles by what keeps them open; `ready` counts those that can be closed.

    Narrowed to those whose periods end after `begins` and not after `ends`, where these are given.
    """
    between = {"begins": begins or "-infinity", "ends": ends or "infinity"}
    return {row.why: int(row.n) for row in conn.execute(_WHY_OPEN, {"now": now, **between})}


@dataclass(frozen=True, slots=True)
class Counts:
    """How many cycles there are, and when the last one was closed."""

    opened: int
    closed: int
    last_closed_at: datetime | None


_COUNTS = text(
    """
    SELECT count(*) FILTER (WHERE state = 'opened') AS opened,
           count(*) FILTER (WHERE state = 'closed') AS closed, max(closed_at) AS last_closed_at
      FROM cycles
    """
)


def counts(conn: Connection) -> Counts:
    """Count all cycles."""
    return Counts(**conn.execute(_COUNTS).one()._mapping)
