"""The history of payments: every step of their state machines, which `payments.move` writes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select, text

from billing.rules.payments import Cause, State
from billing.store.rows import reader
from billing.store.tables import payment_transitions


@dataclass(frozen=True, slots=True)
class PaymentTransition:
    """One step of a payment's history."""

    id: int
    payment_id: UUID
    from_state: State
    to_state: State
    at: datetime
    actor: str
    cause: Cause
    evidence: Mapping[str, Any]


_transition_of = reader(PaymentTransition)


def transitions(conn: Connection, payment_id: UUID) -> list[PaymentTransition]:
    """Return a payment's history, oldest first."""
    query = select(payment_transitions).where(payment_transitions.c.payment_id == payment_id)
    rows = conn.execute(query.order_by(payment_transitions.c.id))
    return [_transition_of(row) for row in rows]


_TIMES_FAILED = text(
    "SELECT count(*) FROM payment_transitions WHERE payment_id = :payment AND to_state = 'FAILED'"
)


def times_failed(conn: Connection, payment_id: UUID) -> int:
    """Count how often a payment became FAILED: each time its invoice was written off."""
    return int(conn.execute(_TIMES_FAILED, {"payment": payment_id}).scalar_one())
