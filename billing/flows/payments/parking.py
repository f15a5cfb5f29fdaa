"""Parking a payment: it waits for a person, and no worker takes it before it is released."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.store.dispatch import NOT_HELD
from billing.store.payments import payments
from billing.store.subscriptions.parking import parked_for


def park(conn: Connection, payment_id: UUID, now: datetime, *, reason: str, error: str) -> None:
    """Park a (locked) payment: `reason` for the metric, `error` for a person."""
    payments.change(
        conn,
        payment_id,
        now,
        lease_until=None,
        dispatch_after=NOT_HELD,
        **parked_for(now, reason, error),
    )
