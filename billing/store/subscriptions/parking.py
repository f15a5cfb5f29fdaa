"""The columns of parking, for payments and for subscriptions: a parked row waits for a person."""

from datetime import datetime
from typing import Final, TypedDict


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
