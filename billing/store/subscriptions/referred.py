"""Subscriptions that usage is counted for, many at once, as whoever sends it refers to them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import Connection, Row, select, text

from billing.rules.segments import Segment
from billing.rules.subscriptions import CycleKind
from billing.store.arrays import literal
from billing.store.rows import names_of, reader
from billing.store.subscriptions import segments
from billing.store.subscriptions.subscriptions import Subscription
from billing.store.tables import segments as segment_rows
from billing.store.tables import subscriptions


@dataclass(frozen=True, slots=True)
class Referred:
    """A subscription, with what changes whenever its row or its changes do."""

    subscription: Subscription
    version: str
    change: int


@dataclass(frozen=True, slots=True)
class PeriodAsRun:
    """A period that was opened, as it runs: until it is cut, where it is."""

    subscription_id: UUID
    n: int
    kind: CycleKind
    period_start: datetime
    period_end: datetime
    plan: str
    plan_version: date


_of = reader(Subscription)
_period = reader(PeriodAsRun)
_COLUMNS = ", ".join(f"s.{name}" for name in names_of(Subscription) if name in subscriptions.c)
_REFERRED = f"""
    SELECT {_COLUMNS}, CAST(s.xmin AS text) AS version,
           coalesce((SELECT max(c.id) FROM subscription_changes c
                      WHERE c.subscription_id = s.id), 0) AS change
      FROM subscriptions s
"""  # noqa: S608  names come from our metadata
_BY_ID = text(_REFERRED + " WHERE s.id = ANY(CAST(:ids AS uuid[]))")
_BY_NAME = text(_REFERRED + " WHERE s.external_id = ANY(CAST(:names AS text[]))")
_OF_CUSTOMERS = text(
    _REFERRED.replace("SELECT s.", "SELECT u.id AS customer, u.external_id AS customer_name, s.", 1)
    + """ JOIN customers u ON u.id = s.customer_id
     WHERE u.id = ANY(CAST(:ids AS uuid[])) OR u.external_id = ANY(CAST(:names AS text[]))
     ORDER BY s.id"""
)
_PERIODS = text(
    """
    SELECT c.subscription_id, c.n, c.kind, c.period_start,
           coalesce(k.cut_at, c.period_end) AS period_end, c.plan, c.plan_version
      FROM cycles c
      LEFT JOIN cycle_cuts k ON (k.subscription_id, k.n) = (c.subscription_id, c.n)
     WHERE c.subscription_id = ANY(CAST(:ids AS uuid[])) AND c.period_end > :since
     ORDER BY c.subscription_id, c.n
    """
)


def by_reference(conn: Connection, references: Sequence[str]) -> dict[str, Referred]:
    """Return subscriptions by their id, or else by their external id, which may be a UUID too."""
    ids = {each: found for each in references if (found := _uuid(each)) is not None}
    by_id: dict[UUID, Referred] = {}
    if ids:
        rows = conn.execute(_BY_ID, {"ids": literal(list(ids.values()))})
        by_id = {row.id: _referred(row) for row in rows}
    known = {each: by_id[found] for each, found in ids.items() if found in by_id}
    others = [each for each in references if each not in known]
    if others:
        for row in conn.execute(_BY_NAME, {"names": literal(others)}):
            known[row.external_id] = _referred(row)
    return known


def of_ids(conn: Connection, ids: Sequence[UUID]) -> dict[UUID, Subscription]:
    """Return subscriptions by their id."""
    rows = conn.execute(_BY_ID, {"ids": literal(list(ids))})
    return {row.id: _of(row) for row in rows}


def of_customers(conn: Connection, references: Sequence[str]) -> dict[str, list[Referred]]:
    """Return subscriptions of customers, ended ones too, by the customer's id or external id."""
    ids = {each: one for each in references if (one := _uuid(each)) is not None}
    values = {"ids": literal(list(ids.values())), "names": literal(list(references))}
    by_id: dict[UUID, list[Referred]] = {}
    by_name: dict[str | None, list[Referred]] = {}
    for row in conn.execute(_OF_CUSTOMERS, values):
        referred = _referred(row)
        by_id.setdefault(row.customer, []).append(referred)
        by_name.setdefault(row.customer_name, []).append(referred)
    return {
        each: (by_id.get(ids[each]) if each in ids else None) or by_name.get(each, [])
        for each in references
    }


def periods_since(
    conn: Connection, subscription_ids: Sequence[UUID], since: datetime
) -> Mapping[UUID, list[PeriodAsRun]]:
    """Return the opened periods of subscriptions that ended after an instant, in order."""
    found: dict[UUID, list[PeriodAsRun]] = {}
    values = {"ids": literal(list(subscription_ids)), "since": since}
    for row in conn.execute(_PERIODS, values):
        found.setdefault(row.subscription_id, []).append(_period(row))
    return found


def begun_segments(
    conn: Connection, subscription_ids: Sequence[UUID]
) -> Mapping[UUID, list[Segment]]:
    """Return the segments of subscriptions that have begun and are rows, in order."""
    found: dict[UUID, list[Segment]] = {}
    query = select(segment_rows).where(segment_rows.c.subscription_id.in_(subscription_ids))
    for row in conn.execute(query.order_by(segment_rows.c.from_n)):
        found.setdefault(row.subscription_id, []).append(segments.of_row(row))
    return found


_UNPAID = text(
    """
    SELECT subscription_id, max(at) AS at FROM subscription_events
     WHERE kind = 'unpaid' AND subscription_id = ANY(CAST(:ids AS uuid[])) GROUP BY 1
    """
)


def unpaid_since(conn: Connection, subscription_ids: Sequence[UUID]) -> Mapping[UUID, datetime]:
    """Return when collecting was given up last for subscriptions."""
    rows = conn.execute(_UNPAID, {"ids": literal(list(subscription_ids))})
    return {row.subscription_id: row.at for row in rows}


_VERSIONS = text(
    """
    SELECT (SELECT count(*) FROM plan_versions) + (SELECT count(*) FROM plan_corrections)
         + (SELECT count(*) FROM addon_versions) + (SELECT count(*) FROM addon_corrections)
    """
)


def versions_published(conn: Connection) -> int:
    """Return how many versions and corrections of plans and add-ons there are: none is removed."""
    return int(conn.execute(_VERSIONS).scalar_one())


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _referred(row: Row[object]) -> Referred:
    return Referred(_of(row), str(row.version), int(row.change))
