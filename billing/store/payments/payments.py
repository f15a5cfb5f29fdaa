"""Payments: the rows whose state machine decides whether money is still to be collected."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, Final, TypedDict, Unpack
from uuid import UUID

from sqlalchemy import Connection, TextClause, select, text, update

from billing.pricing import InvoiceKind
from billing.rules.actor import Actor
from billing.rules.decisions import Decision, DecisionKind
from billing.rules.dunning import DeclineClass
from billing.rules.invoices import InvoiceStatus
from billing.rules.money import Money
from billing.rules.payments import AttemptKind, CaptureMethod, Cause, State, check_transition
from billing.rules.subscriptions import EndedBy, Status
from billing.store import paging
from billing.store.bulk import bulk_insert
from billing.store.payments.decisions import with_decision
from billing.store.rows import reader
from billing.store.tables import payment_transitions, payments


@dataclass(frozen=True, slots=True)
class Payment:
    """One payment as stored, amounts in minor units of its currency."""

    id: UUID
    invoice_id: UUID | None
    subscription_id: UUID | None
    customer_id: UUID
    amount: int
    currency: str
    state: State
    provider_payment_id: str | None
    provider_charge_id: str | None
    amount_captured: int
    amount_refunded: int
    attempt_n: int
    rung: int
    next_attempt_at: datetime | None
    next_attempt_kind: AttemptKind | None
    dispatch_after: datetime
    lease_until: datetime | None
    decline_code: str | None
    decline_class: DeclineClass | None
    decision: str | None
    decision_facts: Mapping[str, Any]
    parked_at: datetime | None
    parked_error: str | None
    parked_reason: str | None
    captured_at: datetime | None
    confirmed_at: datetime | None
    created_at: datetime
    updated_at: datetime
    payment_method_id: UUID | None
    capture_method: CaptureMethod
    description: str
    authorized_until: datetime | None
    capture_amount: int | None
    settled_at: datetime | None
    provider: str
    ladder_ends_at: datetime | None

    @property
    def money(self) -> Money:
        """The amount to be collected."""
        return Money(self.amount, self.currency)

    @property
    def captured(self) -> Money:
        """The amount captured."""
        return Money(self.amount_captured, self.currency)

    @property
    def refunded(self) -> Money:
        """The amount refunded, with refunds that are only requested."""
        return Money(self.amount_refunded, self.currency)

    @property
    def to_capture(self) -> Money:
        """The amount to capture of an authorisation: the requested part, or else all of it."""
        return Money(self.capture_amount or self.amount, self.currency)

    @property
    def is_held(self) -> bool:
        """Tell whether it is an authorisation without a request to capture or void."""
        at, until = self.next_attempt_at, self.authorized_until
        asked = self.capture_amount is not None
        expires = at is None or until is None or at >= until
        return self.state is State.AUTHORIZED and not asked and expires

    def has_next(self, kind: AttemptKind, now: datetime) -> bool:
        """Tell whether the next attempt is of this kind and due."""
        return (
            self.next_attempt_kind is kind
            and self.next_attempt_at is not None
            and self.next_attempt_at <= now
        )


@dataclass(frozen=True, slots=True)
class LockedPayment(Payment):
    """A locked payment, with its cycle, invoice, subscription and open attempt.

    A one-off payment has neither cycle, invoice nor subscription. `account_recovering` tells that
    nothing is sent to its account before the database was recovered.
    """

    cycle_id: UUID | None
    cycle_state: str | None
    invoice_kind: InvoiceKind | None
    invoice_number: str | None
    invoice_status: InvoiceStatus | None
    subscription_status: Status | None
    subscription_ended_by: EndedBy | None
    plan: str | None
    zone: str | None
    open_attempt_n: int | None
    account_recovering: bool

    @property
    def waits_for_method(self) -> bool:
        """Tell whether it was declined or held, and another payment method may be tried at once."""
        held = self.decision == DecisionKind.HELD_BY_BUDGET
        waits = self.decline_class is not None or held
        nothing_open = self.parked_at is None and self.open_attempt_n is None
        return self.state is State.CREATED and waits and nothing_open


class PaymentChange(TypedDict, total=False):
    """Columns of a payment that may be written, each with its type."""

    provider: str
    provider_payment_id: str | None
    provider_charge_id: str | None
    amount_captured: int
    amount_refunded: int
    attempt_n: int
    rung: int
    next_attempt_at: datetime | None
    next_attempt_kind: AttemptKind | None
    dispatch_after: datetime
    lease_until: datetime | None
    decline_code: str | None
    decline_class: DeclineClass | None
    decision: Decision
    parked_at: datetime | None
    parked_error: str | None
    parked_reason: str | None
    captured_at: datetime | None
    confirmed_at: datetime | None
    authorized_until: datetime | None
    capture_amount: int | None
    settled_at: datetime | None
    ladder_ends_at: datetime | None


class NextAttempt(TypedDict):
    """The columns of the next attempt, and the number of rungs used."""

    next_attempt_at: datetime | None
    next_attempt_kind: AttemptKind | None
    rung: int


class NothingNext(TypedDict):
    """The columns of the next attempt, all empty."""

    next_attempt_at: None
    next_attempt_kind: None
    lease_until: None


# As the trigger that fills it in has it.
_AT_ACCOUNT_OF_METHOD: Final = (
    ("provider", "SELECT m.provider FROM payment_methods m WHERE m.id = x.payment_method_id"),
)
_AT_ACCOUNT_DUE: Final = (
    (
        "provider",
        "SELECT coalesce(s.provider, c.provider) FROM customers c"
        " LEFT JOIN subscriptions s ON s.id = x.subscription_id WHERE c.id = x.customer_id",
    ),
)

_of = reader(Payment)
_locked_of = reader(LockedPayment)

NOTHING_NEXT: Final[NothingNext] = {
    "next_attempt_at": None,
    "next_attempt_kind": None,
    "lease_until": None,
}
"""The values of a payment that needs no worker any more."""


def add(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Create payments; only one is taken for an invoice.

    Each is at the account that collects it: that of its own payment method, or else the one that
    its subscription names, or else its customer's.
    """
    has_method = bool(rows) and "payment_method_id" in rows[0]
    bulk_insert(
        conn, payments, rows, derived=_AT_ACCOUNT_OF_METHOD if has_method else _AT_ACCOUNT_DUE
    )


# --- locking one, or a few, to write what became of them ----------------------------------------


def _lock(which: str) -> TextClause:
    # A statement that waited for the lock gets the payment's newest row, but the joined rows are
    # those from before the wait. `unlocked` is from before the wait too, so its version tells
    # whether there was one.
    return text(
        f"""
        SELECT p.*, i.cycle_id, i.kind AS invoice_kind, i.number AS invoice_number,
               i.status AS invoice_status,
               c.state AS cycle_state, s.status AS subscription_status,
               s.ended_by AS subscription_ended_by, s.plan, s.zone,
               a.n AS open_attempt_n,
               EXISTS (SELECT FROM provider_fences f WHERE f.provider = p.provider
                          AND f.state = 'recovering') AS account_recovering,
               p.xmin <> unlocked.xmin AS changed_meanwhile
          FROM payments p
          JOIN payments unlocked ON unlocked.id = p.id
          LEFT JOIN invoices i ON i.id = p.invoice_id
          LEFT JOIN cycles c ON c.id = i.cycle_id
          LEFT JOIN subscriptions s ON s.id = p.subscription_id
          LEFT JOIN attempts a ON a.payment_id = p.id AND a.finished_at IS NULL
         WHERE {which}
         ORDER BY p.id
           FOR UPDATE OF p
        """  # noqa: S608  conditions of ours
    )


def _locked(conn: Connection, statement: TextClause, values: Mapping[str, Any]) -> list[Any]:
    rows = list(conn.execute(statement, values))
    if any(row.changed_meanwhile for row in rows):
        rows = list(
            conn.execute(statement, values)
        )  # all rows are locked now: this doesn't wait again
    return [_locked_of(row) for row in rows]


_PAYMENT = _lock("p.id = :id")


def lock_payment(conn: Connection, payment_id: UUID) -> LockedPayment | None:
    """Lock a payment and return it as it is now; None when the id is unknown."""
    found = _locked(conn, _PAYMENT, {"id": payment_id})
    return found[0] if found else None


def lock_known_payment(conn: Connection, payment_id: UUID) -> LockedPayment:
    """Lock a payment whose id comes from a row of ours: payments are never deleted."""
    payment = lock_payment(conn, payment_id)
    assert payment is not None, "payments are never deleted"
    return payment


_COLLECTING = _lock("p.subscription_id = :subscription AND p.state IN ('CREATED', 'AUTHORIZED')")


def lock_collecting(conn: Connection, subscription_id: UUID) -> list[LockedPayment]:
    """Lock a subscription's undecided payments."""
    return _locked(conn, _COLLECTING, {"subscription": subscription_id})


WAITS_FOR_METHOD: Final = "(p.decline_class IS NOT NULL OR p.decision = 'held_by_budget')"
"""In SQL, whether an undecided payment `p` may be tried with another payment method at once."""

_WAITING_FOR_METHOD = _lock(
    f"""
    p.customer_id = :customer AND p.parked_at IS NULL
       AND (c.state = 'opened' OR c.id IS NULL AND i.id IS NOT NULL AND p.state = 'CREATED')
       AND coalesce(s.provider, (SELECT u.provider FROM customers u WHERE u.id = p.customer_id))
           = :provider
       AND (s.id IS NULL OR s.status <> 'canceled'
            OR p.state = 'CREATED'
               AND (s.ended_by IS NULL OR s.ended_by IN ('operator', 'period_end')))
       AND (p.state = 'CREATED' AND {WAITS_FOR_METHOD}
            OR p.state = 'FAILED')
    """  # noqa: S608  our constant
)


def lock_waiting_for_method(
    conn: Connection, customer_id: UUID, provider: str
) -> list[LockedPayment]:
    """Lock the payments of a customer that a new payment method at an account may still collect.

    They are those that are due there, wherever they were tried.
    """
    return _locked(conn, _WAITING_FOR_METHOD, {"customer": customer_id, "provider": provider})


def change(
    conn: Connection, payment_id: UUID, now: datetime, **values: Unpack[PaymentChange]
) -> None:
    """Write columns of one payment."""
    _write(conn, payment_id, now, values)


def _write(conn: Connection, payment_id: UUID, now: datetime, values: Mapping[str, Any]) -> None:
    columns = {"updated_at": now, **with_decision(values)}
    conn.execute(update(payments).where(payments.c.id == payment_id).values(**columns))


def move(
    conn: Connection,
    payment_id: UUID,
    path: Sequence[State],
    *,
    cause: Cause,
    now: datetime,
    actor: Actor,
    evidence: Mapping[str, Any] | None = None,
    **values: Unpack[PaymentChange],
) -> None:
    """Move a (locked) payment along `path`, its present state first, and write its history.

    `values` are written with the last step. Raises `IllegalTransition`; the database refuses
    the same moves.
    """
    steps = list(pairwise(path))
    for from_state, to_state in steps:
        check_transition(from_state, to_state, cause)
        last = to_state is path[-1]
        _write(conn, payment_id, now, {"state": to_state, **(values if last else {})})
    bulk_insert(
        conn,
        payment_transitions,
        [
            {
                "payment_id": payment_id,
                "from_state": from_state,
                "to_state": to_state,
                "at": now,
                "actor": str(actor),
                "cause": cause,
                "evidence": dict(evidence or {}),
            }
            for from_state, to_state in steps
        ],
    )


# --- reading ------------------------------------------------------------------------------------


def get(conn: Connection, payment_id: UUID) -> Payment | None:
    """Return one payment."""
    row = conn.execute(select(payments).where(payments.c.id == payment_id)).one_or_none()
    return _of(row) if row else None


def of_invoice(conn: Connection, invoice_id: UUID) -> Payment | None:
    """Return the payment of an invoice, if it has one."""
    row = conn.execute(select(payments).where(payments.c.invoice_id == invoice_id)).one_or_none()
    return _of(row) if row else None


def page(
    conn: Connection,
    *,
    subscription_id: UUID | None = None,
    limit: int = 50,
    after: UUID | None = None,
) -> list[Payment]:
    """Return up to `limit` payments in order of creation, after the id `after`."""
    equal = {"subscription_id": subscription_id}
    rows = paging.page(conn, payments, equal, limit=limit, after=after)
    return [_of(row) for row in rows]
