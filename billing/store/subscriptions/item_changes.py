"""The changes of what subscriptions hold: plan, quantities and schedule, as dated rows."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, insert, text

from billing.rules.item_changes import Applies, ChangeAsked, ItemChange
from billing.rules.schedule_orders import ScheduleOrder
from billing.rules.subscriptions import DatedChangeKind
from billing.store.arrays import literal
from billing.store.tables import subscription_changes

_SELECT = """
    SELECT subscription_id, kind, holds_from, change_id, applies, withdraws, detail
      FROM subscription_changes
     WHERE kind IN ('held', 'quantity', 'plan', 'schedule', 'withdraw')
"""
_OF_MANY = text(_SELECT + " AND subscription_id = ANY(CAST(:ids AS uuid[])) ORDER BY id")
_ALL = text(_SELECT + " ORDER BY subscription_id, id")


def of(conn: Connection, subscription_id: UUID) -> Sequence[ItemChange]:
    """Return the changes of one subscription, in the order in which they were asked for."""
    return of_many(conn, [subscription_id]).get(subscription_id, ())


def of_many(
    conn: Connection, subscription_ids: Sequence[UUID]
) -> Mapping[UUID, Sequence[ItemChange]]:
    """Return the changes of subscriptions by id; one without changes isn't among them."""
    return _grouped(conn.execute(_OF_MANY, {"ids": literal(subscription_ids)}).all())


def of_all(conn: Connection) -> Mapping[UUID, Sequence[ItemChange]]:
    """Return the changes of all subscriptions that have any."""
    return _grouped(conn.execute(_ALL).all())


def _grouped(rows: Sequence[Row[Any]]) -> Mapping[UUID, Sequence[ItemChange]]:
    found: dict[UUID, list[ItemChange]] = {}
    for row in rows:
        found.setdefault(row.subscription_id, []).append(_of(row))
    return found


def _of(row: Row[Any]) -> ItemChange:
    version, schedule = row.detail.get("version"), row.detail.get("schedule")
    return ItemChange(
        kind=DatedChangeKind(row.kind),
        holds_from=row.holds_from,
        change_id=row.change_id,
        applies=None if row.applies is None else Applies(row.applies),
        withdraws=row.withdraws,
        plan=row.detail.get("plan"),
        version=None if version is None else date.fromisoformat(version),
        items=row.detail.get("items", {}),
        defaults=row.detail.get("defaults", {}),
        addons={
            code: date.fromisoformat(version)
            for code, version in row.detail.get("addons", {}).items()
        },
        schedule=None if schedule is None else ScheduleOrder.of_detail(schedule),
        cuts=row.detail.get("cuts"),
    )


def add(conn: Connection, subscription_id: UUID, change: ItemChange, asked: ChangeAsked) -> None:
    """Append one change; the database refuses a second one with its id."""
    conn.execute(
        insert(subscription_changes).values(
            subscription_id=subscription_id,
            kind=change.kind,
            holds_from=change.holds_from,
            asked_at=asked.at,
            actor=str(asked.actor),
            why=asked.why,
            change_id=change.change_id,
            applies=change.applies,
            withdraws=change.withdraws,
            detail=change.detail(),
        )
    )
