"""The payments of a customer that another account may collect."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, text

from billing.rules.payments import State
from billing.store.payments.payments import WAITS_FOR_METHOD
from billing.store.rows import reader


@dataclass(frozen=True, slots=True)
class MovablePayment:
    """An undecided payment, or one that was given up and a payment method may still collect.

    `waits` tells that it waits for another payment method.
    """

    id: UUID
    subscription_id: UUID | None
    amount: int
    currency: str
    state: State
    provider: str
    has_own_method: bool
    has_open_call: bool
    is_parked: bool
    waits: bool


_of = reader(MovablePayment)

_MOVABLE = text(
    f"""
    SELECT p.id, p.subscription_id, p.amount, p.currency, p.state, p.provider,
           p.payment_method_id IS NOT NULL AS has_own_method,
           EXISTS (SELECT FROM provider_calls k
                    WHERE k.subject_id = p.id AND k.finished_at IS NULL) AS has_open_call,
           p.parked_at IS NOT NULL AS is_parked,
           p.state = 'FAILED' OR {WAITS_FOR_METHOD} IS TRUE AS waits
      FROM payments p
      LEFT JOIN invoices i ON i.id = p.invoice_id
      LEFT JOIN cycles c ON c.id = i.cycle_id
      LEFT JOIN subscriptions s ON s.id = p.subscription_id
     WHERE p.customer_id = :customer
       AND (p.state IN ('CREATED', 'AUTHORIZED')
            OR p.state = 'FAILED' AND p.parked_at IS NULL AND i.status = 'uncollectible'
               AND c.state = 'opened' AND s.status <> 'canceled')
     ORDER BY p.id
    """  # noqa: S608  our constant
)


def movable(conn: Connection, customer_id: UUID) -> list[MovablePayment]:
    """Return a customer's payments that may still be collected, in order of creation."""
    return [_of(row) for row in conn.execute(_MOVABLE, {"customer": customer_id})]
