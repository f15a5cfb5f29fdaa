"""Refunds for people, with the last call that asked the provider for each."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from billing.queries.paging import page
from billing.rules.payments import AttemptOutcome
from billing.store.payments.refunds import Refund
from billing.store.rows import reader

__all__ = ["ListedRefund", "refund", "refunds"]


@dataclass(frozen=True, slots=True)
class ListedRefund(Refund):
    """A refund with its last call, if it was sent: key, number, sends, outcome.

    `last_error` is why a call that is still open has no outcome.
    """

    idempotency_key: str | None
    key_n: int | None
    first_sent_at: datetime | None
    sends: int
    unknown_since: datetime | None
    last_error: str | None
    outcome: AttemptOutcome | None


_listed = reader(ListedRefund)

_REFUNDS: Final = """
SELECT r.*, c.idempotency_key, c.n AS key_n, c.first_sent_at, coalesce(c.sends, 0) AS sends,
       c.unknown_since, c.outcome,
       CASE WHEN c.finished_at IS NULL THEN c.error_class || ': ' || c.error_message
       END AS last_error
  FROM refunds r
  LEFT JOIN LATERAL (SELECT * FROM provider_calls
                      WHERE subject_id = r.id AND kind = 'refund' ORDER BY n DESC LIMIT 1) c ON true
 WHERE {where}
 ORDER BY r.id LIMIT :limit
"""
_CONDITIONS: Final = {
    "id": "r.id = :id",
    "payment_id": "r.payment_id = :payment_id",
    "state": "r.state = :state",
    "after": "r.id > :after",
}


def refunds(
    conn: Connection,
    *,
    payment_id: UUID | None = None,
    state: str | None = None,
    limit: int = 50,
    after: UUID | None = None,
) -> list[ListedRefund]:
    """Return refunds in order of creation; None doesn't narrow."""
    return page(
        conn,
        _REFUNDS,
        _CONDITIONS,
        _listed,
        limit=limit,
        payment_id=payment_id,
        state=state,
        after=after,
    )


def refund(conn: Connection, refund_id: UUID) -> ListedRefund | None:
    """Return one refund."""
    found = page(conn, _REFUNDS, _CONDITIONS, _listed, limit=1, id=refund_id)
    return found[0] if found else None
