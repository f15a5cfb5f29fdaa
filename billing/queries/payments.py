"""Payments for people, with their attempts, history and disputes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import Connection

from billing.queries.paging import page
from billing.rules.disputes import DisputeState
from billing.rules.dunning import DeclineClass
from billing.rules.payments import AttemptKind, CaptureMethod, State
from billing.store.payments.attempts import of_payment as attempts_of
from billing.store.payments.disputes import Dispute
from billing.store.payments.disputes import get as dispute
from billing.store.payments.disputes import page as disputes
from billing.store.payments.payment_history import transitions
from billing.store.payments.payments import Payment
from billing.store.payments.payments import get as payment
from billing.store.payments.payments import of_invoice as payment_of_invoice
from billing.store.payments.provider_calls import UNKNOWN_ATTEMPT
from billing.store.rows import reader

__all__ = [
    "Dispute",
    "DisputeState",
    "ListedPayment",
    "Payment",
    "attempts_of",
    "dispute",
    "disputes",
    "payment",
    "payment_of_invoice",
    "payments",
    "transitions",
]


@dataclass(frozen=True, slots=True)
class ListedPayment:
    """A payment with the names of its customer and subscription; `unknown` where the outcome of an
    attempt is.
    """

    id: UUID
    invoice_id: UUID | None
    invoice_number: str | None
    subscription_id: UUID | None
    subscription_external_id: str | None
    customer_id: UUID
    customer_external_id: str | None
    customer_name: str
    amount: int
    currency: str
    state: State
    amount_captured: int
    amount_refunded: int
    attempts: int
    rung: int
    next_attempt_at: datetime | None
    next_attempt_kind: AttemptKind | None
    decline_code: str | None
    decline_class: DeclineClass | None
    decision: str | None
    decision_facts: Mapping[str, Any]
    description: str
    capture_method: CaptureMethod
    authorized_until: datetime | None
    unknown: bool
    parked_at: datetime | None
    parked_reason: str | None
    parked_error: str | None
    provider: str
    provider_payment_id: str | None
    provider_charge_id: str | None
    captured_at: datetime | None
    confirmed_at: datetime | None
    created_at: datetime
    updated_at: datetime


_listed = reader(ListedPayment)

_UNKNOWN: Final = (
    f"EXISTS (SELECT FROM provider_calls k WHERE k.subject_id = p.id AND {UNKNOWN_ATTEMPT})"
)
_PAYMENTS: Final = f"""
SELECT p.id, p.invoice_id, i.number AS invoice_number, p.subscription_id,
       s.external_id AS subscription_external_id, p.customer_id,
       c.external_id AS customer_external_id, c.name AS customer_name, p.amount, p.currency,
       p.state, p.amount_captured, p.amount_refunded, p.attempt_n AS attempts, p.rung,
       p.next_attempt_at, p.next_attempt_kind, p.decline_code, p.decline_class, p.decision,
       p.decision_facts, p.description, p.capture_method, p.authorized_until,
       {_UNKNOWN} AS unknown,
       p.parked_at, p.parked_reason, p.parked_error, p.provider, p.provider_payment_id,
       p.provider_charge_id, p.captured_at, p.confirmed_at, p.created_at, p.updated_at
  FROM payments p
  JOIN customers c ON c.id = p.customer_id
  LEFT JOIN invoices i ON i.id = p.invoice_id
  LEFT JOIN subscriptions s ON s.id = p.subscription_id
 WHERE {{where}}
 ORDER BY p.id {{order}} LIMIT :limit
"""  # noqa: S608  our constant
_CONDITIONS: Final = {
    "id": "p.id = :id",
    "invoice_id": "p.invoice_id = :invoice_id",
    "state": "p.state = :state",
    "subscription_id": "p.subscription_id = :subscription_id",
    "customer_id": "p.customer_id = :customer_id",
    "parked": "(p.parked_at IS NOT NULL) = :parked",
    "unknown": f"{_UNKNOWN} = :unknown",
    "declined": "p.state = 'CREATED' AND p.decline_class IS NOT NULL AND :declined",
    "given_up": "p.state = 'FAILED' AND :given_up AND EXISTS (SELECT FROM cycles y"
    " WHERE y.id = i.cycle_id AND y.state = 'opened')",
    "on_ladder": "p.decline_class <> 'needs_customer' AND :on_ladder",
    "decline_class": "p.decline_class = :decline_class",
    "decline_code": "p.decline_code = :decline_code",
    "rung": "p.rung = :rung",
    "after": "p.id > :after",
    "before": "p.id < :before",
}


def payments(
    conn: Connection,
    *,
    limit: int = 50,
    id: UUID | None = None,
    invoice_id: UUID | None = None,
    state: str | None = None,
    subscription_id: UUID | None = None,
    customer_id: UUID | None = None,
    parked: bool | None = None,
    unknown: bool | None = None,
    declined: Literal[True] | None = None,
    on_ladder: Literal[True] | None = None,
    given_up: Literal[True] | None = None,
    decline_class: str | None = None,
    decline_code: str | None = None,
    rung: int | None = None,
    after: UUID | None = None,
    before: UUID | None = None,
    newest_first: bool = False,
) -> list[ListedPayment]:
    """Return payments in order of creation; None doesn't narrow.

    `declined` are those that were declined and are tried again, or wait for their customer;
    `on_ladder` leaves out who waits;
    `given_up` those that are tried no more and whose cycle is still open.
    """
    return page(
        conn,
        _PAYMENTS,
        _CONDITIONS,
        _listed,
        limit=limit,
        newest_first=newest_first,
        id=id,
        invoice_id=invoice_id,
        state=state,
        subscription_id=subscription_id,
        customer_id=customer_id,
        parked=parked,
        unknown=unknown,
        declined=declined,
        on_ladder=on_ladder,
        given_up=given_up,
        decline_class=decline_class,
        decline_code=decline_code,
        rung=rung,
        after=after,
        before=before,
    )
