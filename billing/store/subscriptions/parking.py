"""What parking writes, to a payment as to a subscription: it waits for a person."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

NOT_PARKED: Final[Mapping[str, None]] = {
    "parked_at": None,
    "parked_reason": None,
    "parked_error": None,
}


def parked_for(now: datetime, reason: str, error: str | None) -> dict[str, Any]:
    """Return the columns of a row that is parked: `reason` is counted, `error` is read."""
    return {"parked_at": now, "parked_reason": reason, "parked_error": error}
