"""Payments: the rows whose state machine decides whether money is still to be collected."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Row, select, text, update

from billing.rules.money import Money
from billing.rules.payments import Cause, State, check_transition
from billing.store import dispatch, paging
from billing.store.bulk import bulk_insert
from billing.store.tables import payment_transitions, payments

NOTHING_NEXT: Final[Mapping[str, None]] = {
    "next_attempt_at": None,
    "next_attempt_kind": None,
    "lease_until": None,
}
"""What is written where a payment wants no worker any more."""


def add(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Create payments; the database refuses a second one for an invoice."""
    bulk_insert(conn, payments, rows)


# --- dispatch: which payments want a worker -----------------------------------------------------

DISPATCH_DUE = dispatch.due_statement("payments", also="parked_at IS NULL")


# --- one attempt --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ForAttempt:
    """A locked payment with all that deciding its next attempt needs."""

    id: UUID
    invoice_id: UUID | None
    cycle_id: UUID | None
    subscription_id: UUID | None
    customer_id: UUID
    amount: int
    currency: str
    state: State
    provider_payment_id: str | None
    attempt_n: int
    rung: int
    next_attempt_at: datetime
    next_attempt_kind: str
    decline_code: str | None
    decline_class: str | None
    capture_method: str
    description: str
    invoice_number: str | None
    plan: str | None
    subscription_status: str | None
    zone: str | None
    period_start: datetime | None
    period_end: datetime | None
    provider_customer_id: str | None
    payment_method_id: UUID | None
    payment_method_token: str | None
    open_attempt_n: int | None
    open_attempt_kind: str | None
    open_attempt_request: Mapping[str, Any] | None
    open_attempt_sent_at: datetime | None
    open_attempt_sends: int | None
    open_attempt_never_executed: bool | None
    method_declined_at: Sequence[datetime]

    @property
    def money(self) -> Money:
        """What is to be collected."""
        return Money(self.amount, self.currency)


# SKIP LOCKED and the lease: whoever else works on this payment goes on, we don't wait for them.
# The conditions are checked again on the locked row, so a stale snapshot can't slip through.
_FOR_ATTEMPT = text(
    """
    SELECT p.id, p.invoice_id, c.id AS cycle_id, p.subscription_id, p.customer_id, p.amount,
           p.currency, p.state, p.provider_payment_id, p.attempt_n, p.rung, p.next_attempt_at,
           p.next_attempt_kind, p.decline_code, p.decline_class, p.capture_method, p.description,
           i.number AS invoice_number,
           s.plan, s.status AS subscription_status, s.zone, c.period_start, c.period_end,
           u.provider_customer_id, m.id AS payment_method_id,
           m.provider_payment_method_id AS payment_method_token,
           a.n AS open_attempt_n, a.kind AS open_attempt_kind, a.request AS open_attempt_request,
           a.first_sent_at AS open_attempt_sent_at, a.sends AS open_attempt_sends,
           a.last_error IS NOT NULL AND a.unknown_since IS NULL AS open_attempt_never_executed,
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
) -> ForAttempt | None:
    """Lock a payment that wants an attempt now; None when it doesn't or somebody else is at it."""
    row = conn.execute(
        _FOR_ATTEMPT, {"id": payment_id, "now": now, "wall": wall, "days": budget_days}
    ).one_or_none()
    if row is None:
        return None
    return ForAttempt(**dict(row._mapping) | {"state": State(row.state)})


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
) -> Row[Any] | None:
    """Lock an authorised payment that is to be captured or voided now."""
    return conn.execute(_FOR_STEP, {"id": payment_id, "now": now, "wall": wall}).one_or_none()


_FOR_OUTCOME = text(
    """
    SELECT p.*, i.cycle_id, i.number AS invoice_number, i.status AS invoice_status,
           c.state AS cycle_state, s.status AS subscription_status, s.plan, s.zone
      FROM payments p
      LEFT JOIN invoices i ON i.id = p.invoice_id
      LEFT JOIN cycles c ON c.id = i.cycle_id
      LEFT JOIN subscriptions s ON s.id = p.subscription_id
     WHERE p.id = :id
       FOR UPDATE OF p
    """
)


def lock_for_outcome(conn: Connection, payment_id: UUID) -> Row[Any]:
    """Lock a payment to write down what an attempt brought."""
    return conn.execute(_FOR_OUTCOME, {"id": payment_id}).one()


def change(conn: Connection, payment_id: UUID, now: datetime, **values: Any) -> None:
    """Write columns of one payment."""
    conn.execute(
        update(payments).where(payments.c.id == payment_id).values(updated_at=now, **values)
    )


def move(
    conn: Connection,
    payment_id: UUID,
    path: Sequence[State],
    *,
    cause: Cause,
    now: datetime,
    actor: str,
    evidence: Mapping[str, Any] | None = None,
    **values: Any,
) -> None:
    """Take a (locked) payment along `path`, its present state first, and keep the history.

    `values` are written with the last step. Raises `IllegalTransition`; the database refuses
    the same moves.
    """
    steps = list(pairwise(path))
    for from_state, to_state in steps:
        check_transition(from_state, to_state, cause)
        last = to_state is path[-1]
        change(conn, payment_id, now, state=str(to_state), **(values if last else {}))
    bulk_insert(
        conn,
        payment_transitions,
        [
            {
                "payment_id": payment_id,
                "from_state": str(from_state),
                "to_state": str(to_state),
                "at": now,
                "actor": actor,
                "cause": str(cause),
                "evidence": dict(evidence or {}),
            }
            for from_state, to_state in steps
        ],
    )


# --- reading ------------------------------------------------------------------------------------


def get(conn: Connection, payment_id: UUID) -> Row[Any] | None:
    """Return one payment."""
    return conn.execute(select(payments).where(payments.c.id == payment_id)).one_or_none()


def of_invoice(conn: Connection, invoice_id: UUID) -> Row[Any] | None:
    """Return the payment of an invoice, if it has one."""
    return conn.execute(select(payments).where(payments.c.invoice_id == invoice_id)).one_or_none()


def transitions(conn: Connection, payment_id: UUID) -> list[Row[Any]]:
    """Return a payment's history, oldest first."""
    query = select(payment_transitions).where(payment_transitions.c.payment_id == payment_id)
    return list(conn.execute(query.order_by(payment_transitions.c.id)))


_TIMES_FAILED = text(
    "SELECT count(*) FROM payment_transitions WHERE payment_id = :payment AND to_state = 'FAILED'"
)


def times_failed(conn: Connection, payment_id: UUID) -> int:
    """Count how often a payment became FAILED: each time its invoice was written off."""
    return int(conn.execute(_TIMES_FAILED, {"payment": payment_id}).scalar_one())


def page(
    conn: Connection,
    *,
    subscription_id: UUID | None = None,
    limit: int = 50,
    after: UUID | None = None,
) -> list[Row[Any]]:
    """Return up to `limit` payments in order of creation, after the id `after`."""
    equal = {"subscription_id": subscription_id}
    return paging.page(conn, payments, equal, limit=limit, after=after)


_COLLECTING = text(
    """
    SELECT p.id FROM payments p
     WHERE p.subscription_id = :subscription AND p.state IN ('CREATED', 'AUTHORIZED')
     ORDER BY p.id FOR UPDATE
    """
)


def lock_collecting(conn: Connection, subscription_id: UUID) -> list[UUID]:
    """Lock a subscription's payments that are not decided yet."""
    rows = conn.execute(_COLLECTING, {"subscription": subscription_id})
    return [row.id for row in rows]


_WAITING_FOR_METHOD = text(
    """
    SELECT p.id, p.state, i.id AS invoice_id, i.cycle_id
      FROM payments p
      JOIN invoices i ON i.id = p.invoice_id
      JOIN cycles c ON c.id = i.cycle_id
      JOIN subscriptions s ON s.id = p.subscription_id
     WHERE p.customer_id = :customer AND p.parked_at IS NULL AND c.state = 'opened'
       AND s.status <> 'canceled'
       AND (p.state = 'CREATED' AND p.decline_class IS NOT NULL OR p.state = 'FAILED')
     ORDER BY p.id
       FOR UPDATE OF p
    """
)


def lock_waiting_for_method(conn: Connection, customer_id: UUID) -> list[Row[Any]]:
    """Lock the payments of a customer that a new payment method may still collect."""
    return list(conn.execute(_WAITING_FOR_METHOD, {"customer": customer_id}))


_OTHERS_PAST_DUE = text(
    """
    SELECT EXISTS (SELECT FROM payments
                    WHERE subscription_id = :subscription AND id <> :payment
                      AND (state = 'CREATED' AND decline_class IS NOT NULL))
    """
)


def others_past_due(conn: Connection, subscription_id: UUID, payment_id: UUID) -> bool:
    """Tell whether another payment of the subscription was declined and is not decided yet."""
    return bool(
        conn.execute(
            _OTHERS_PAST_DUE, {"subscription": subscription_id, "payment": payment_id}
        ).scalar()
    )


_ANY_PAST_DUE = text(
    """
    SELECT EXISTS (SELECT FROM payments
                    WHERE subscription_id = :subscription
                      AND state = 'CREATED' AND decline_class IS NOT NULL)
    """
)


def any_past_due(conn: Connection, subscription_id: UUID) -> bool:
    """Tell whether a payment of the subscription was declined and is not decided yet."""
    return bool(conn.execute(_ANY_PAST_DUE, {"subscription": subscription_id}).scalar())


_QUIET = text(
    """
    SELECT NOT EXISTS (SELECT FROM subscriptions
                        WHERE parked_at IS NULL AND renews_at IS NOT NULL AND renews_at <= :now)
       AND NOT EXISTS (SELECT FROM payments
                        WHERE next_attempt_at IS NOT NULL AND parked_at IS NULL
                          AND next_attempt_at <= :now)
       AND NOT EXISTS (SELECT FROM refunds
                        WHERE next_attempt_at IS NOT NULL AND next_attempt_at <= :now)
    """
)


def nothing_due(conn: Connection, now: datetime) -> bool:
    """Tell whether every cycle, attempt and refund due by `now` is done."""
    return bool(conn.execute(_QUIET, {"now": now}).scalar())


_NEXT = text(
    """
    SELECT LEAST((SELECT min(renews_at) FROM subscriptions
                   WHERE parked_at IS NULL AND renews_at IS NOT NULL),
                 (SELECT min(next_attempt_at) FROM payments
                   WHERE next_attempt_at IS NOT NULL AND parked_at IS NULL),
                 (SELECT min(next_attempt_at) FROM refunds
                   WHERE next_attempt_at IS NOT NULL)) AS at
    """
)


def next_due_instant(conn: Connection) -> datetime | None:
    """Return the earliest instant at which a cycle, an attempt or a refund is due, if any is."""
    return conn.execute(_NEXT).scalar()


def unsettled(conn: Connection) -> int:
    """Count captures whose settlement the provider has not shown yet.

    One that differs has a break and waits for a person.
    """
    query = text(
        "SELECT count(*) FROM payments p WHERE captured_at IS NOT NULL AND settled_at IS NULL"
        "   AND NOT EXISTS (SELECT FROM breaks b"
        "                    WHERE b.payment_id = p.id AND b.resolved_at IS NULL)"
    )
    return int(conn.execute(query).scalar_one())
