"""The whole at a glance: what is due, counts by status and state, when the tasks ran."""

from datetime import datetime

from sqlalchemy import Connection, text

from billing.store.due_work import next_due_instant
from billing.store.fences import Fence
from billing.store.fences import every as all_fences
from billing.store.tasks import all_tasks

__all__ = [
    "Fence",
    "all_fences",
    "all_tasks",
    "due",
    "next_due_instant",
    "payments_by_state",
    "subscriptions_by_status",
]

_DUE = text(
    """
    SELECT (SELECT count(*) FROM subscriptions
             WHERE parked_at IS NULL AND opens_at IS NOT NULL AND opens_at <= :at) AS renewals,
           (SELECT count(*) FROM payments
             WHERE next_attempt_at IS NOT NULL AND parked_at IS NULL
               AND next_attempt_at <= :at) AS attempts
    """
)


def due(conn: Connection, at: datetime) -> tuple[int, int]:
    """Count the renewals and the attempts that are due by an instant and not done."""
    row = conn.execute(_DUE, {"at": at}).one()
    return int(row.renewals), int(row.attempts)


_BY_STATUS = text("SELECT status AS name, count(*) AS n FROM subscriptions GROUP BY status")
_BY_STATE = text("SELECT state AS name, count(*) AS n FROM payments GROUP BY state")


def subscriptions_by_status(conn: Connection) -> dict[str, int]:
    """Count subscriptions by status; a status nobody has isn't there."""
    return {row.name: int(row.n) for row in conn.execute(_BY_STATUS)}


def payments_by_state(conn: Connection) -> dict[str, int]:
    """Count payments by state; a state none is in isn't there."""
    return {row.name: int(row.n) for row in conn.execute(_BY_STATE)}
