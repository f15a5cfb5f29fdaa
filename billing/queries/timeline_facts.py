"""What can have happened to a subscription: facts with links."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from billing.rules.credit import CreditSource, MoveKind
from billing.rules.credit_notes import Destination
from billing.rules.money import Money
from billing.rules.payment_methods import PaymentMethodKind


@dataclass(frozen=True, slots=True)
class CycleOpened:
    """A cycle was opened for a period."""

    n: int
    kind: str
    period_start: datetime
    period_end: datetime
    plan_version: date


@dataclass(frozen=True, slots=True)
class CycleClosed:
    """A cycle was closed."""

    n: int


@dataclass(frozen=True, slots=True)
class InvoiceIssued:
    """A cycle was invoiced, or a change within one: then `n` is None."""

    n: int | None
    number: str
    total: Money


@dataclass(frozen=True, slots=True)
class AttemptSent:
    """An attempt was sent for the first time."""

    payment_id: UUID
    n: int
    kind: str
    amount: Money
    method_kind: PaymentMethodKind
    brand: str | None
    last4: str | None


@dataclass(frozen=True, slots=True)
class AttemptFinished:
    """The outcome of an attempt is known."""

    payment_id: UUID
    n: int
    outcome: str
    decline_code: str | None
    decision: str | None
    decision_facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PaymentMoved:
    """A payment went from one state to another."""

    payment_id: UUID
    from_state: str
    to_state: str
    cause: str


@dataclass(frozen=True, slots=True)
class RefundRequested:
    """A refund was asked for."""

    payment_id: UUID
    refund_id: UUID
    amount: Money
    reason: str


@dataclass(frozen=True, slots=True)
class RefundFinished:
    """A refund succeeded or failed."""

    payment_id: UUID
    refund_id: UUID
    amount: Money
    state: str
    failure_reason: str | None


@dataclass(frozen=True, slots=True)
class DisputeOpened:
    """A dispute or an inquiry was opened."""

    payment_id: UUID
    dispute_id: UUID
    amount: Money
    reason: str


@dataclass(frozen=True, slots=True)
class DisputeClosed:
    """A dispute or an inquiry came to its end."""

    payment_id: UUID
    dispute_id: UUID
    amount: Money
    state: str


@dataclass(frozen=True, slots=True)
class CreditMoved:
    """Credit that pays this subscription was granted, paid an invoice, came back or expired."""

    kind: MoveKind
    grant_id: UUID
    source: CreditSource
    amount: Money
    reason: str
    invoice: str | None


@dataclass(frozen=True, slots=True)
class CreditNoteIssued:
    """A credit note gave back parts of an invoice."""

    number: str
    invoice: str
    amount: Money
    destination: Destination
    reason: str


@dataclass(frozen=True, slots=True)
class SubscriptionNoted:
    """Somebody did something to the subscription itself.

    Rows of earlier versions have the `words` that were noted then, instead of facts.
    """

    kind: str
    words: str | None
    facts: Mapping[str, Any]


Fact = (
    CycleOpened
    | CycleClosed
    | InvoiceIssued
    | AttemptSent
    | AttemptFinished
    | PaymentMoved
    | RefundRequested
    | RefundFinished
    | DisputeOpened
    | DisputeClosed
    | CreditMoved
    | CreditNoteIssued
    | SubscriptionNoted
)
