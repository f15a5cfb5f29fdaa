"""Attempts: one row each, committed before its request is sent."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict, Unpack
from uuid import UUID

from sqlalchemy import Connection, insert, select, text, update

from billing.rules.dunning import DeclineClass
from billing.rules.payments import AttemptKind, AttemptOutcome
from billing.store.rows import reader
from billing.store.tables import attempts


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt as stored; `outcome` is None while it is open."""

    payment_id: UUID
    n: int
    kind: AttemptKind
    idempotency_key: str
    payment_method_id: UUID
    request: Mapping[str, Any]
    rung: int
    first_sent_at: datetime
    sends: int
    unknown_since: datetime | None
    last_error: str | None
    finished_at: datetime | None
    outcome: AttemptOutcome | None
    decline_code: str | None
    advice_code: str | None
    decline_class: DeclineClass | None
    message: str | None
    provider_request_id: str | None
    decision: str | None


class NewAttempt(TypedDict):
    """The columns of an attempt that are written before it is sent."""

    payment_id: UUID
    n: int
    kind: AttemptKind
    idempotency_key: str
    payment_method_id: UUID
    request: Mapping[str, Any]
    rung: int
    first_sent_at: datetime


class AttemptEnd(TypedDict, total=False):
    """The columns that are written with an attempt's outcome."""

    decline_code: str
    advice_code: str | None
    decline_class: DeclineClass
    message: str
    provider_request_id: str | None
    decision: str


_of = reader(Attempt)


def add(conn: Connection, **values: Unpack[NewAttempt]) -> None:
    """Insert an attempt that is about to be sent; a payment has one open attempt at most."""
    conn.execute(insert(attempts).values(**values))


def sent_again(conn: Connection, payment_id: UUID, n: int) -> None:
    """Count one more send of the same request under the same key.

    The last error is cleared: until this send is answered, its outcome is unknown.
    """
    conn.execute(
        update(attempts)
        .where(attempts.c.payment_id == payment_id, attempts.c.n == n)
        .values(sends=attempts.c.sends + 1, last_error=None)
    )


def still_open(
    conn: Connection, payment_id: UUID, n: int, *, error: str, unknown_since: datetime | None
) -> None:
    """Record that a send had no definite answer; the attempt stays open."""
    values: dict[str, Any] = {"last_error": error}
    if unknown_since is not None:
        values["unknown_since"] = unknown_since
    conn.execute(
        update(attempts)
        .where(attempts.c.payment_id == payment_id, attempts.c.n == n)
        .values(**values)
    )


def finish(
    conn: Connection,
    payment_id: UUID,
    n: int,
    outcome: AttemptOutcome,
    now: datetime,
    **values: Unpack[AttemptEnd],
) -> bool:
    """Write the definite end of an attempt; False when it had one already."""
    result = conn.execute(
        update(attempts)
        .where(
            attempts.c.payment_id == payment_id,
            attempts.c.n == n,
            attempts.c.finished_at.is_(None),
        )
        .values(outcome=outcome, finished_at=now, **values)
    )
    return result.rowcount == 1


def of_payment(conn: Connection, payment_id: UUID) -> list[Attempt]:
    """Return a payment's attempts in order."""
    query = select(attempts).where(attempts.c.payment_id == payment_id).order_by(attempts.c.n)
    return [_of(row) for row in conn.execute(query)]


_DECLINES_OF_METHOD = text(
    """
    SELECT d.finished_at
      FROM attempts a JOIN attempts d ON d.payment_method_id = a.payment_method_id
     WHERE a.payment_id = :payment AND a.n = :n
       AND d.outcome = 'declined' AND d.finished_at > :since
     ORDER BY d.finished_at
    """
)


def declines_of_method(
    conn: Connection, payment_id: UUID, n: int, since: datetime
) -> list[datetime]:
    """Return the instants since then at which the attempt's payment method was declined, on any
    invoice.
    """
    rows = conn.execute(_DECLINES_OF_METHOD, {"payment": payment_id, "n": n, "since": since})
    return [row.finished_at for row in rows]


def open_attempt(conn: Connection, payment_id: UUID) -> Attempt | None:
    """Return the attempt that has no definite end yet, if there is one."""
    query = select(attempts).where(
        attempts.c.payment_id == payment_id, attempts.c.finished_at.is_(None)
    )
    row = conn.execute(query).one_or_none()
    return _of(row) if row else None
