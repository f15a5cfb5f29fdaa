"""The dated changes of subscriptions: what was asked for, and the instant from which it holds."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, insert, select, text

from billing.rules.actor import Actor
from billing.rules.subscriptions import DatedChange, DatedChangeKind
from billing.store.tables import subscription_changes

_QUERY = select(
    subscription_changes.c.subscription_id,
    subscription_changes.c.kind,
    subscription_changes.c.holds_from,
).order_by(subscription_changes.c.id)


def add(
    conn: Connection,
    subscription_id: UUID,
    kind: DatedChangeKind,
    *,
    holds_from: datetime,
    asked_at: datetime,
    actor: Actor,
    why: str,
) -> None:
    """Append one change."""
    conn.execute(
        insert(subscription_changes).values(
            subscription_id=subscription_id,
            kind=kind,
            holds_from=holds_from,
            asked_at=asked_at,
            actor=str(actor),
            why=why,
        )
    )


def of(conn: Connection, subscription_id: UUID) -> Sequence[DatedChange]:
    """Return the changes of one subscription, in the order in which they were asked for."""
    return of_many(conn, [subscription_id]).get(subscription_id, ())


_PENDING_SINCE = text(
    """
    SELECT min(asked_at) FROM subscription_changes
     WHERE subscription_id = :subscription AND kind IN ('cancel', 'unpaid')
       AND id > coalesce((SELECT max(id) FROM subscription_changes
                           WHERE subscription_id = :subscription AND kind IN ('keep', 'paid')), 0)
    """
)


def pending_since(conn: Connection, subscription_id: UUID) -> datetime | None:
    """Return when an end, or that it is unpaid, was decided that wasn't taken back since."""
    found: datetime | None = conn.execute(
        _PENDING_SINCE, {"subscription": subscription_id}
    ).scalar()
    return found


def of_many(
    conn: Connection, subscription_ids: Sequence[UUID]
) -> Mapping[UUID, Sequence[DatedChange]]:
    """Return the changes of subscriptions by id; one without changes isn't among them."""
    found: dict[UUID, list[DatedChange]] = {}
    query = _QUERY.where(subscription_changes.c.subscription_id.in_(subscription_ids))
    for row in conn.execute(query):
        change = DatedChange(DatedChangeKind(row.kind), row.holds_from)
        found.setdefault(row.subscription_id, []).append(change)
    return found
