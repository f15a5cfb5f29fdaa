"""Attempts: what was sent to the provider, committed before it was sent."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, insert, select, text, update

from billing.store.tables import attempts


def add(conn: Connection, values: Mapping[str, Any]) -> None:
    """Write down an attempt that is about to be sent; one may be open a payment."""
    conn.execute(insert(attempts).values(**values))


def sent_again(conn: Connection, payment_id: UUID, n: int) -> None:
    """Count one more send of the same request under the same key.

    The last error is forgotten: until this send is answered, nobody knows what it did.
    """
    conn.execute(
        update(attempts)
        .where(attempts.c.payment_id == payment_id, attempts.c.n == n)
        .values(sends=attempts.c.sends + 1, last_error=None)
    )


def still_open(
    conn: Connection, payment_id: UUID, n: int, *, error: str, unknown_since: datetime | None
) -> None:
    """Note that a send brought no definite answer; the attempt goes on."""
    values: dict[str, Any] = {"last_error": error}
    if unknown_since is not None:
        values["unknown_since"] = unknown_since
    conn.execute(
        update(attempts)
        .where(attempts.c.payment_id == payment_id, attempts.c.n == n)
        .values(**values)
    )


def finish(conn: Connection, payment_id: UUID, n: int, values: Mapping[str, Any]) -> bool:
    """Write the definite end of an attempt; False when it had one already."""
    result = conn.execute(
        update(attempts)
        .where(
            attempts.c.payment_id == payment_id,
            attempts.c.n == n,
            attempts.c.finished_at.is_(None),
        )
        .values(**values)
    )
    return result.rowcount == 1


def get(conn: Connection, payment_id: UUID, n: int) -> Row[Any]:
    """Return one attempt."""
    return conn.execute(
        select(attempts).where(attempts.c.payment_id == payment_id, attempts.c.n == n)
    ).one()


def of_payment(conn: Connection, payment_id: UUID) -> list[Row[Any]]:
    """Return a payment's attempts in order."""
    query = select(attempts).where(attempts.c.payment_id == payment_id).order_by(attempts.c.n)
    return list(conn.execute(query))


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
    """Return when the payment method of an attempt was declined since then, on any invoice."""
    rows = conn.execute(_DECLINES_OF_METHOD, {"payment": payment_id, "n": n, "since": since})
    return [row.finished_at for row in rows]


def open_attempt(conn: Connection, payment_id: UUID) -> Row[Any] | None:
    """Return the attempt that has no definite end yet, if there is one."""
    return conn.execute(
        select(attempts).where(
            attempts.c.payment_id == payment_id, attempts.c.finished_at.is_(None)
        )
    ).one_or_none()
