"""Payments whose next step is due: which they are, and one of them locked to take that step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from billing.pricing import InvoiceKind
from billing.rules.dunning import DeclineClass
from billing.rules.money import Money
from billing.rules.payment_methods import PaymentMethodKind
from billing.rules.payments import AttemptKind, CaptureMethod, State
from billing.rules.subscriptions import EndedBy, Status
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
    invoice_kind: InvoiceKind | None
    invoice_issued_at: datetime | None
    change_id: UUID | None
    change_detail: Mapping[str, Any] | None
    top_up_priority: int | None
    top_up_valid_days: int | None
    ordered_facts: str | None
    plan: str | None
    subscription_status: Status | None
    subscription_ended_by: EndedBy | None
    ladder_ends_at: datetime | None
    zone: str | None
    period_start: datetime | None
    period_end: datetime | None
    method_provider: str | None
    provider_customer_id: str | None
    payment_method_id: UUID | None
    payment_method_token: str | None
    payment_method_kind: PaymentMethodKind | None
    payment_method_brand: str | None
    open_attempt_kind: AttemptKind | None
    is_leaving: bool
    held_at: Sequence[str]
    horizon: int
    method_declined_at: Sequence[datetime]
    last_decline_at: datetime | None
    last_decline_code: str | None
    last_decline_class: DeclineClass | None

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
           i.number AS invoice_number, i.kind AS invoice_kind, i.issued_at AS invoice_issued_at,
           h.change_id, h.detail AS change_detail,
           g.priority AS top_up_priority, g.valid_days AS top_up_valid_days,
           CASE WHEN i.kind = 'one_off' THEN i.facts END AS ordered_facts,
           s.plan, s.status AS subscription_status, s.ended_by AS subscription_ended_by,
           p.ladder_ends_at, s.zone, c.period_start, c.period_end,
           m.provider AS method_provider, w.provider_customer_id,
           m.id AS payment_method_id,
           m.provider_payment_method_id AS payment_method_token,
           m.kind AS payment_method_kind, m.brand AS payment_method_brand,
           a.kind AS open_attempt_kind,
           EXISTS (SELECT FROM provider_calls k WHERE k.subject_id = p.id AND k.kind = 'cancel'
                      AND k.finished_at IS NULL) AS is_leaving,
           ARRAY(SELECT o.provider FROM provider_customers o
                  WHERE o.customer_id = p.customer_id AND NOT may_send(o.provider)
                  ORDER BY o.provider <> p.provider) AS held_at,
           CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint) AS horizon,
           ARRAY(SELECT d.finished_at FROM attempts d
                  WHERE d.payment_method_id = m.id AND d.outcome = 'declined'
                    AND d.finished_at > CAST(:now AS timestamptz) - make_interval(days => :days)
                  ORDER BY d.finished_at) AS method_declined_at,
           l.finished_at AS last_decline_at, l.decline_code AS last_decline_code,
           l.decline_class AS last_decline_class
      FROM payments p
      JOIN customers u ON u.id = p.customer_id
      LEFT JOIN subscriptions s ON s.id = p.subscription_id
      LEFT JOIN provider_customers t
             ON t.customer_id = p.customer_id AND t.provider = coalesce(s.provider, u.provider)
      LEFT JOIN payment_methods m ON m.id = coalesce(p.payment_method_id, t.payment_method_id)
      LEFT JOIN provider_customers w
             ON w.customer_id = m.customer_id AND w.provider = m.provider
      LEFT JOIN invoices i ON i.id = p.invoice_id
      LEFT JOIN cycles c ON c.id = i.cycle_id
      LEFT JOIN cycle_cuts x
             ON c.after_cut AND x.subscription_id = c.subscription_id AND x.n = c.n - 1
      LEFT JOIN subscription_changes h ON h.change_id = coalesce(i.change_id, x.change_id)
      LEFT JOIN top_ups g ON g.invoice_id = i.id
      LEFT JOIN attempts a ON a.payment_id = p.id AND a.finished_at IS NULL
      LEFT JOIN LATERAL (SELECT d.finished_at, d.decline_code, d.decline_class FROM attempts d
                          WHERE d.payment_method_id = m.id AND d.outcome = 'declined'
                            AND (m.changed_at IS NULL OR d.finished_at > m.changed_at)
                          ORDER BY d.finished_at DESC LIMIT 1) l ON true
     WHERE p.id = :id AND p.state = 'CREATED' AND p.parked_at IS NULL
       AND p.next_attempt_at <= :now
       AND (p.lease_until IS NULL OR p.lease_until <= :wall OR p.lease_until > :held_until)
       FOR UPDATE OF p SKIP LOCKED
    """
)


def lock_for_attempt(
    conn: Connection,
    payment_id: UUID,
    *,
    now: datetime,
    wall: datetime,
    held_until: datetime,
    budget_days: int,
) -> PaymentForAttempt | None:
    """Lock a payment whose attempt is due; None when none is due or another process holds it.

    A lease that runs beyond `held_until` was set by a wrong clock, and is over. `held_at` are the
    customer's accounts whose fence lets nothing pass, `horizon` is as in `fences.Fence`.
    `is_leaving` tells that what an earlier attempt left at the account is being canceled.
    """
    values = {"id": payment_id, "now": now, "wall": wall, "held_until": held_until}
    row = conn.execute(_FOR_ATTEMPT, {**values, "days": budget_days}).one_or_none()
    return _for_attempt_of(row) if row else None


@dataclass(frozen=True, slots=True)
class ChargedMethod:
    """A payment method with whose it is at its account: the columns of a `PaymentForAttempt`."""

    method_provider: str
    provider_customer_id: str | None
    payment_method_id: UUID
    payment_method_token: str
    payment_method_kind: PaymentMethodKind
    payment_method_brand: str | None


_charged_method_of = reader(ChargedMethod)
_METHOD = """
    SELECT m.provider AS method_provider, w.provider_customer_id, m.id AS payment_method_id,
           m.provider_payment_method_id AS payment_method_token,
           m.kind AS payment_method_kind, m.brand AS payment_method_brand
      FROM payment_methods m
      JOIN provider_customers w ON w.customer_id = m.customer_id AND w.provider = m.provider
"""
_LAST_METHOD = text(
    f"""{_METHOD}
      JOIN attempts a ON a.payment_method_id = m.id
     WHERE a.payment_id = :payment ORDER BY a.n DESC LIMIT 1
    """
)
_METHOD_AT = text(
    f"""{_METHOD}
     WHERE w.customer_id = :customer AND w.provider = :provider AND w.payment_method_id = m.id
    """
)


def last_method(conn: Connection, payment_id: UUID) -> ChargedMethod | None:
    """Return the payment method that a payment was tried with last."""
    row = conn.execute(_LAST_METHOD, {"payment": payment_id}).one_or_none()
    return None if row is None else _charged_method_of(row)


def method_at(conn: Connection, customer_id: UUID, provider: str) -> ChargedMethod | None:
    """Return the payment method that a customer is charged with over this account."""
    values = {"customer": customer_id, "provider": provider}
    row = conn.execute(_METHOD_AT, values).one_or_none()
    return None if row is None else _charged_method_of(row)


_CHARGED_SINCE = text(
    """
    SELECT EXISTS (SELECT FROM payments p JOIN attempts a ON a.payment_id = p.id
                    WHERE p.customer_id = :customer AND a.payment_method_id = :method
                      AND a.outcome = 'succeeded' AND a.finished_at >= :since)
    """
)


def charged_since(
    conn: Connection, customer_id: UUID, payment_method_id: UUID, since: datetime
) -> bool:
    """Tell whether an attempt with a customer's payment method succeeded since then."""
    values = {"customer": customer_id, "method": payment_method_id, "since": since}
    return bool(conn.execute(_CHARGED_SINCE, values).scalar())


_FOR_STEP = text(
    """
    SELECT * FROM payments
     WHERE id = :id AND state = 'AUTHORIZED' AND parked_at IS NULL
       AND next_attempt_at <= :now
       AND (lease_until IS NULL OR lease_until <= :wall OR lease_until > :held_until)
       FOR UPDATE SKIP LOCKED
    """
)


def lock_for_step(
    conn: Connection, payment_id: UUID, *, now: datetime, wall: datetime, held_until: datetime
) -> Payment | None:
    """Lock an authorised payment that is to be captured or voided now."""
    values = {"id": payment_id, "now": now, "wall": wall, "held_until": held_until}
    row = conn.execute(_FOR_STEP, values).one_or_none()
    return _payment_of(row) if row else None


_WAKE = text(
    """
    UPDATE payments SET next_attempt_at = :now, updated_at = :now
     WHERE id IN (SELECT id FROM payments
                   WHERE subscription_id = :subscription AND state = 'CREATED'
                     AND next_attempt_at > :now
                     FOR UPDATE SKIP LOCKED)
    """
)


def wake(conn: Connection, subscription_id: UUID, now: datetime) -> None:
    """Let a subscription's undecided payments take their next step now.

    Those that another process holds take it when they are due: waiting for them here, behind
    another lock, could be a deadlock.
    """
    conn.execute(_WAKE, {"subscription": subscription_id, "now": now})


_COLLECTING = text(
    "SELECT count(*) FROM payments WHERE subscription_id = :subscription AND state = 'CREATED'"
)


def collecting(conn: Connection, subscription_id: UUID) -> int:
    """Count the payments of a subscription that are undecided: they are still collected."""
    return int(conn.execute(_COLLECTING, {"subscription": subscription_id}).scalar_one())
