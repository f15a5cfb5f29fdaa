"""Money that went back from a payment: refunds, and disputes of the customer's bank."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from billing.queries.credit_notes import credit_notes
from billing.queries.refunds import refunds
from billing.rules.credit_notes import Destination
from billing.rules.disputes import DisputeState
from billing.rules.money import Money
from billing.rules.payments import AttemptOutcome
from billing.rules.refunds import RefundState
from billing.store.payments import disputes
from billing.store.payments.payments import Payment

MANY: Final = 1_000


@dataclass(frozen=True, slots=True)
class RefundFacts:
    """One refund, asked for or made; `last_outcome` is that of its last call to the provider."""

    id: UUID
    amount: Money
    created_at: datetime
    requested_by: str
    reason: str
    state: RefundState
    failure_reason: str | None
    last_error: str | None
    last_outcome: AttemptOutcome | None


@dataclass(frozen=True, slots=True)
class NoteFacts:
    """One credit note of the payment's invoice; its refund may have failed."""

    number: str
    amount: Money
    issued_at: datetime
    actor: str
    reason: str
    destination: Destination
    refund_id: UUID | None
    refund_state: RefundState | None


@dataclass(frozen=True, slots=True)
class DisputeFacts:
    """One dispute, or an inquiry that may become one."""

    id: UUID
    provider_dispute_id: str
    amount: Money
    opened_at: datetime
    reason: str
    state: DisputeState

    @property
    def is_inquiry(self) -> bool:
        """Whether no money was taken back for it."""
        return self.state in (DisputeState.INQUIRY, DisputeState.INQUIRY_CLOSED)


@dataclass(frozen=True, slots=True)
class MoneyBackFacts:
    """All refunds and disputes of a payment, and the credit notes of its invoice."""

    refunds: tuple[RefundFacts, ...]
    disputes: tuple[DisputeFacts, ...]
    notes: tuple[NoteFacts, ...] = ()


def _notes(conn: Connection, payment: Payment) -> tuple[NoteFacts, ...]:
    if payment.invoice_id is None:
        return ()
    return tuple(
        NoteFacts(
            row.number,
            row.money,
            row.created_at,
            row.actor,
            row.reason,
            row.destination,
            row.refund_id,
            row.refund_state,
        )
        for row in credit_notes(conn, invoice_id=payment.invoice_id, limit=MANY)
    )


def money_back_facts(conn: Connection, payment: Payment) -> MoneyBackFacts:
    """Return a payment's refunds and disputes, and its invoice's credit notes."""
    return MoneyBackFacts(
        tuple(
            RefundFacts(
                row.id,
                Money(row.amount, row.currency),
                row.created_at,
                row.requested_by,
                row.reason,
                row.state,
                row.failure_reason,
                row.last_error,
                row.outcome,
            )
            for row in refunds(conn, payment_id=payment.id, limit=MANY)
        ),
        tuple(
            DisputeFacts(
                row.id,
                row.provider_dispute_id,
                Money(row.amount, row.currency),
                row.opened_at,
                row.reason,
                row.state,
            )
            for row in disputes.page(conn, payment_id=payment.id, limit=MANY)
        ),
        _notes(conn, payment),
    )
