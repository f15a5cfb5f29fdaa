"""What an invoice was, as its charge names it at the provider: when it was issued, and for what.

A database that was restored has forgotten the invoice. From the mark a recovery issues it anew, as
of the instant at which it was issued, and makes the change again that it was for.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from billing.rules.request_marks import REQUEST

_ISSUED: Final = "issued"
_CHANGE: Final = "change"
LONGEST: Final = 500
"""How many characters an object carries at most under a name."""


@dataclass(frozen=True, slots=True)
class ChangeMark:
    """A change of a subscription that held at once: its id, and what it asked for.

    `items` are quantities by item or add-on; without a `plan` it stays as it is. `billing_day` and
    `zone` are of the periods that begin with it.
    """

    change_id: UUID
    plan: str | None = None
    items: Mapping[str, int] = field(default_factory=dict)
    billing_day: int | None = None
    zone: str | None = None


@dataclass(frozen=True, slots=True)
class InvoiceMark:
    """When an invoice was issued, and the change that it was for, if there was one."""

    issued_at: datetime
    change: ChangeMark | None = None

    def as_metadata(self) -> Mapping[str, str]:
        """Return what the charge carries. A change that is too long for it isn't named."""
        issued = f"{_ISSUED} {self.issued_at.astimezone(UTC).isoformat(timespec='microseconds')}"
        if self.change is None:
            return {REQUEST: issued}
        asked: dict[str, Any] = {"items": dict(self.change.items)} if self.change.items else {}
        for name in ("plan", "billing_day", "zone"):
            value = getattr(self.change, name)
            if value is not None:
                asked[name] = value
        words = json.dumps(asked, sort_keys=True, separators=(",", ":"))
        whole = f"{issued} {_CHANGE} {self.change.change_id} {words}"
        return {REQUEST: whole if len(whole) <= LONGEST else issued}


def read_invoice_mark(metadata: Mapping[str, str]) -> InvoiceMark | None:
    """Return the mark of a charge, or None where it has none that can be read."""
    parts = metadata.get(REQUEST, "").split(" ", 4)
    if parts[0] != _ISSUED or len(parts) < 2:
        return None
    try:
        issued_at = datetime.fromisoformat(parts[1])
        change = _change_of(parts[3], parts[4]) if len(parts) == 5 else None
    except (ValueError, TypeError, AttributeError):
        return None
    return None if issued_at.tzinfo is None else InvoiceMark(issued_at, change)


def _change_of(change_id: str, words: str) -> ChangeMark:
    asked = json.loads(words)
    items = {str(code): int(quantity) for code, quantity in asked.get("items", {}).items()}
    day = asked.get("billing_day")
    billing_day = None if day is None else int(day)
    return ChangeMark(UUID(change_id), asked.get("plan"), items, billing_day, asked.get("zone"))
