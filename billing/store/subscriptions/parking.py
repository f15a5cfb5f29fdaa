"""Parking, of payments and of subscriptions: a parked row waits for a person, or for facts."""

from datetime import datetime
from typing import Final, TypedDict
from uuid import UUID

from sqlalchemy import Connection, text


class Parking(TypedDict):
    """The columns of a row that tell whether it is parked, since when, and why."""

    parked_at: datetime | None
    parked_reason: str | None
    parked_error: str | None


NOT_PARKED: Final[Parking] = {
    "parked_at": None,
    "parked_reason": None,
    "parked_error": None,
}


def parked_for(now: datetime, reason: str, error: str | None) -> Parking:
    """Return the columns of a parked row: `reason` for the metric, `error` for a person."""
    return {"parked_at": now, "parked_reason": reason, "parked_error": error}


# What was known is counted, because two instants of a test clock may be equal.
_DECIDABLE: Final = text(
    """
    SELECT s.id FROM subscriptions s
     WHERE s.parked_at IS NOT NULL AND s.parked_reason = :reason
       AND ((s.parked_facts ->> 'rows')::int < (SELECT count(*) FROM customer_tax_facts f
                                                 WHERE f.customer_id = s.customer_id
                                                   AND f.holds_from <= :now)
            OR (s.parked_facts ->> 'rates')::int < (SELECT count(*) FROM tax_rates))
     ORDER BY s.id LIMIT :limit
     FOR NO KEY UPDATE SKIP LOCKED
    """
)


def lock_decidable(conn: Connection, reason: str, now: datetime, limit: int) -> list[UUID]:
    """Lock the subscriptions parked for taxes of which more is known since; return their ids."""
    values = {"reason": reason, "now": now, "limit": limit}
    return list(conn.execute(_DECIDABLE, values).scalars())
