"""What was counted of a subscription's meters, and the closings that billed it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from typing import Any, TypedDict
from uuid import UUID

from sqlalchemy import Connection, select, text

from billing.pricing import UsageClosing
from billing.rules.usage_quantities import CountedUsage
from billing.store.arrays import literal
from billing.store.bulk import bulk_insert
from billing.store.tables import usage_closings

Counter = tuple[str, int]
"""A meter, and the number of a segment."""


@dataclass(frozen=True, slots=True)
class AskedUsage:
    """A subscription whose usage is to be billed.

    No period before `late_n` takes usage any more. From `from_n` on nothing was billed.
    """

    subscription_id: UUID
    late_n: int
    from_n: int


@dataclass(slots=True)
class CountedPeriod:
    """What was counted in a period, and the last closings of it, by meter and segment."""

    counted: dict[Counter, CountedUsage] = field(default_factory=dict)
    billed: dict[Counter, UsageClosing] = field(default_factory=dict)
    billed_in: dict[Counter, UUID | None] = field(default_factory=dict)


class NewClosing(TypedDict):
    """The columns of a closing; without an invoice nothing is charged for it."""

    subscription_id: UUID
    meter: str
    n: int
    segment: int
    revision: int
    quantity: str
    events: int
    id_sum: int
    invoice_id: UUID | None
    at: datetime


_LEVEL_METERS = text(
    """
    SELECT DISTINCT m ->> 'code' AS code
      FROM (SELECT jsonb_array_elements(terms -> 'items') -> 'meter' FROM plan_versions
             UNION ALL
            SELECT jsonb_array_elements(terms -> 'items') -> 'meter' FROM plan_corrections
             UNION ALL SELECT terms -> 'item' -> 'meter' FROM addon_versions
             UNION ALL SELECT terms -> 'item' -> 'meter' FROM addon_corrections) AS published(m)
     WHERE m ->> 'aggregate' = 'level'
    """
)


def level_meters(conn: Connection) -> list[str]:
    """Return the codes of published meters of levels, which go on from one period into the next."""
    return list(conn.execute(_LEVEL_METERS).scalars())


# What comes late of a level concerns the periods after it, too.
_LATE = text(
    """
    SELECT s.id, t.n, bool_or(t.meter = ANY(CAST(:levels AS text[]))) AS goes_on
      FROM unnest(CAST(:ids AS uuid[]), CAST(:lates AS int[]), CAST(:froms AS int[]))
           AS s(id, late_n, from_n)
      JOIN usage_totals t ON t.subscription_id = s.id AND t.n >= s.late_n AND t.n < s.from_n
      LEFT JOIN LATERAL (
           SELECT c.events FROM usage_closings c
            WHERE c.subscription_id = t.subscription_id AND c.meter = t.meter AND c.n = t.n
              AND c.segment = t.segment
            ORDER BY c.revision DESC LIMIT 1) c ON true
     WHERE c.events IS DISTINCT FROM t.events
     GROUP BY s.id, t.n ORDER BY s.id, t.n
    """
)


def late_periods(
    conn: Connection, asked: Sequence[AskedUsage], levels: Sequence[str]
) -> Mapping[UUID, list[int]]:
    """Return the periods of subscriptions that were billed and were counted in since.

    `levels` are the meters of levels.
    """
    values = {
        "levels": literal(levels),
        "ids": literal([each.subscription_id for each in asked]),
        "lates": literal([each.late_n for each in asked]),
        "froms": literal([each.from_n for each in asked]),
    }
    until = {each.subscription_id: each.from_n for each in asked}
    found: dict[UUID, set[int]] = {}
    for row in conn.execute(_LATE, values):
        numbers = range(row.n, until[row.id]) if row.goes_on else [row.n]
        found.setdefault(row.id, set()).update(numbers)
    return {owner: sorted(numbers) for owner, numbers in found.items()}


_COUNTED_FROM = text(
    """
    SELECT DISTINCT t.subscription_id, t.n
      FROM unnest(CAST(:ids AS uuid[]), CAST(:froms AS int[])) AS s(id, from_n)
      JOIN usage_totals t ON t.subscription_id = s.id AND t.n >= s.from_n
     ORDER BY t.subscription_id, t.n
    """
)


def counted_from(conn: Connection, numbers: Mapping[UUID, int]) -> list[tuple[UUID, int]]:
    """Return the periods of subscriptions, from a number of each on, in which usage was counted."""
    if not numbers:
        return []
    values = {"ids": literal(list(numbers)), "froms": literal(list(numbers.values()))}
    return [(row.subscription_id, row.n) for row in conn.execute(_COUNTED_FROM, values)]


# Locked in the order in which batches of events are counted.
_READ = """
    SELECT t.* FROM unnest(CAST(:ids AS uuid[]), CAST(:numbers AS int[])) AS s(id, n)
      JOIN usage_totals t ON t.subscription_id = s.id AND t.n = s.n
     ORDER BY t.subscription_id, t.meter, t.n, t.segment"""
_COUNTED = text(_READ)
_COUNTED_LOCKED = text(_READ + " FOR NO KEY UPDATE OF t")
_BILLED = text(
    """
    SELECT DISTINCT ON (c.subscription_id, c.meter, c.n, c.segment) c.*
      FROM unnest(CAST(:ids AS uuid[]), CAST(:numbers AS int[])) AS s(id, n)
      JOIN usage_closings c ON c.subscription_id = s.id AND c.n = s.n
     ORDER BY c.subscription_id, c.meter, c.n, c.segment, c.revision DESC
    """
)


def lock_counted(
    conn: Connection, periods: Sequence[tuple[UUID, int]]
) -> Mapping[tuple[UUID, int], CountedPeriod]:
    """Return what was counted in periods and billed of it; nothing more is counted meanwhile."""
    found = {place: CountedPeriod() for place in periods}
    if not found:
        return found
    ids, numbers = zip(*found, strict=True)
    values = {"ids": literal(ids), "numbers": literal(numbers)}
    for row in conn.execute(_COUNTED_LOCKED, values):
        found[row.subscription_id, row.n].counted[row.meter, row.segment] = _total(row)
    for row in conn.execute(_BILLED, values):
        period, counter = found[row.subscription_id, row.n], (row.meter, row.segment)
        period.billed[counter] = closing_of(row)
        period.billed_in[counter] = row.invoice_id
    return found


def counted(
    conn: Connection, periods: Sequence[tuple[UUID, int]]
) -> Mapping[tuple[UUID, int], CountedPeriod]:
    """Return what was counted in periods so far, whatever was billed of it."""
    found = {place: CountedPeriod() for place in periods}
    if found:
        ids, numbers = zip(*found, strict=True)
        for row in conn.execute(_COUNTED, {"ids": literal(ids), "numbers": literal(numbers)}):
            found[row.subscription_id, row.n].counted[row.meter, row.segment] = _total(row)
    return found


_ANY = text("SELECT EXISTS (SELECT FROM usage_totals WHERE subscription_id = :id)")


def any_counted(conn: Connection, subscription_id: UUID) -> bool:
    """Tell whether any usage was ever counted for a subscription."""
    return bool(conn.execute(_ANY, {"id": subscription_id}).scalar_one())


_LEVELS = text(
    """
    SELECT subscription_id, meter, n, segment, sum FROM usage_totals
     WHERE subscription_id = ANY(CAST(:ids AS uuid[])) AND meter = ANY(CAST(:meters AS text[]))
    """
)


def levels(
    conn: Connection, subscription_ids: Sequence[UUID], meters: Sequence[str]
) -> Mapping[tuple[UUID, str], Mapping[tuple[int, int], Fraction]]:
    """Return by how much each segment of each period changed a level, by its meter."""
    if not meters:
        return {}
    found: dict[tuple[UUID, str], dict[tuple[int, int], Fraction]] = {}
    values = {"ids": literal(subscription_ids), "meters": literal(meters)}
    for row in conn.execute(_LEVELS, values):
        of_meter = found.setdefault((row.subscription_id, row.meter), {})
        of_meter[row.n, row.segment] = Fraction(row.sum or 0)
    return found


def of_invoice(conn: Connection, invoice_id: UUID) -> list[UsageClosing]:
    """Return what an invoice billed of usage, or gave back, by meter, period and segment."""
    columns = usage_closings.c
    query = select(usage_closings).where(columns.invoice_id == invoice_id)
    order = (columns.meter, columns.n, columns.segment, columns.revision)
    return [closing_of(row) for row in conn.execute(query.order_by(*order))]


def add(conn: Connection, rows: Sequence[NewClosing]) -> None:
    """Write closings; the database refuses a revision twice, and one that follows none."""
    bulk_insert(conn, usage_closings, rows)


def closing_of(row: Any) -> UsageClosing:
    """Return a stored closing as invoices name it."""
    return UsageClosing(
        meter=row.meter,
        n=row.n,
        segment=row.segment,
        revision=row.revision,
        quantity=Fraction(row.quantity),
        events=row.events,
        id_sum=int(row.id_sum),
    )


def _total(row: Any) -> CountedUsage:
    return CountedUsage(
        events=row.events,
        id_sum=int(row.id_sum),
        sum=Fraction(row.sum or 0),
        max=Fraction(row.max or 0),
        last=Fraction(row.last or 0),
        moment=Fraction(row.moment or 0),
        keys=row.keys or 0,
    )
