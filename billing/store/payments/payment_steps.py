"""Payments whose next step is due: which they are, and one of them locked to take that step."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

from billing.rules.dunning import DeclineClass
from billing.rules.money import Money
from billing.rules.payments import AttemptKind, CaptureMethod, State
from billing.rules.subscriptions import Status
from billing.store import dispatch
from billing.store.payments.payments import Payment
from billing.store.rows import reader

DISPATCH_DUE = dispatch.due_statement("payments", also="parked_at IS NULL")


@dataclass(frozen=True, slots=True)
class PaymentForAttempt:
    """A locked payment with the facts that its next attempt is decided by."""

    id: UUID
    invoice_id: UUID | None
    cycle_id: UUID | None
    subscription_id: UUID | None
    customer_id: UUID
    amount: int
    currency: str
    state: State
    provider: str
    provider_payment_id: str | None
    attempt_n: int
    rung: int
    next_attempt_at: datetime
    next_attempt_kind: AttemptKind
    decline_code: str | None
    decline_class: DeclineClass | None
    capture_method: CaptureMethod
    description: str
    invoice_number: str | None
    plan: str | None
    subscription_status: Status | None
    zone: str | None
    period_start: datetime | None
    period_end: datetime | None
    provider_customer_id: str | None
    payment_method_id: UUID | None
    payment_method_token: str | None
    open_attempt_kind: AttemptKind | None
    method_declined_at: Sequence[datetime]

    @property
    def money(self) -> Money:
        """What is to be collected."""
        return Money(self.amount, self.currency)


_for_attempt_of = reader(PaymentForAttempt)
_payment_of = reader(Payment)

# SKIP LOCKED and the lease: we don't wait for another process that works on this payment.
# PostgreSQL checks the conditions again on the locked row, so a stale snapshot does no harm.
_FOR_ATTEMPT = text(
    """
    SELECT p.id, p.invoice_id, c.id AS cycle_id, p.subscription_id, p.customer_id, p.amount,
           p.currency, p.state, p.provider, p.provider_payment_id, p.attempt_n, p.rung,
           p.next_attempt_at,
           p.next_attempt_kind, p.decline_code, p.decline_class, p.capture_method, p.description,
           i.number AS invoice_number,
           s.plan, s.status AS subscription_status, s.zone, c.period_start, c.period_end,
           u.provider_customer_id, m.id AS payment_method_id,
           m.provider_payment_method_id AS payment_method_token,
           a.kind AS open_attempt_kind,
           ARRAY(SELECT d.finished_at FROM attempts d
                  WHERE d.payment_method_id = m.id AND d.outcome = 'declined'
                    AND d.finished_at > CAST(:now AS timestamptz) - make_interval(days => :days)
                  ORDER BY d.finished_at) AS method_declined_at
      FROM payments p
      JOIN customers u ON u.id = p.customer_id
      LEFT JOIN payment_methods m
             ON m.id = coalesce(p.payment_method_id, u.default_payment_method_id)
      LEFT JOIN invoices i ON i.id = p.invoice_id
      LEFT JOIN cycles c ON c.id = i.cycle_id
      LEFT JOIN subscriptions s ON s.id = p.subscription_id
      LEFT JOIN attempts a ON a.payment_id = p.id AND a.finished_at IS NULL
     WHERE p.id = :id AND p.state = 'CREATED' AND p.parked_at IS NULL
       AND p.next_attempt_at <= :now AND (p.lease_until IS NULL OR p.lease_until <= :wall)
       FOR UPDATE OF p SKIP LOCKED
    """
)


def lock_for_attempt(
    conn: Connection, payment_id: UUID, *, now: datetime, wall: datetime, budget_days: int
) -> PaymentForAttempt | None:
    """Lock a payment whose attempt is due; None when none is due or another process holds it."""
    row = conn.execute(
        _FOR_ATTEMPT, {"id": payment_id, "now": now, "wall": wall, "days": budget_days}
    ).one_or_none()
    return _for_attempt_of(row) if row else None


_FOR_STEP = text(
    """
    SELECT * FROM payments
     WHERE id = :id AND state = 'AUTHORIZED' AND parked_at IS NULL
       AND next_attempt_at <= :now AND (lease_until IS NULL OR lease_until <= :wall)
       FOR UPDATE SKIP LOCKED
    """
)


def lock_for_step(
    conn: Connection, payment_id: UUID, *, now: datetime, wall: datetime
) -> Payment | None:
    """Lock an authorised payment that is to be captured or voided now."""
    row = conn.execute(_FOR_STEP, {"id": payment_id, "now": now, "wall": wall}).one_or_none()
    return _payment_of(row) if row else None
