"""What an invoice was, as its charge names it at the provider: when it was issued, and for what.

A database that was restored has forgotten the invoice. From the mark a recovery issues it anew, as
of the instant at which it was issued, and makes the change again that it was for.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Final
from uuid import UUID

from billing.rules.request_marks import REQUEST

_ISSUED: Final = "issued"
_CHANGE: Final = "change"
_CREDIT: Final = "credit"
_ORDER: Final = "order"
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
class TopUpMark:
    """Credit that a customer bought: its invoice, and what the payment of it grants."""

    invoice_id: UUID
    priority: int
    valid_days: int | None = None


@dataclass(frozen=True, slots=True)
class OrderMark:
    """Lines that somebody asked to be invoiced: the invoice, and each line's text and amount.

    `service` are the first and the last civil day and the zone of what is invoiced, if any;
    `included`: the amounts contain their taxes.
    """

    invoice_id: UUID
    lines: tuple[tuple[str, int], ...]
    service: tuple[date, date, str] | None = None
    included: bool = False


@dataclass(frozen=True, slots=True)
class InvoiceMark:
    """When an invoice was issued, and the change, the credit or the order it was for, if any."""

    issued_at: datetime
    change: ChangeMark | None = None
    top_up: TopUpMark | None = None
    order: OrderMark | None = None

    def as_metadata(self) -> Mapping[str, str]:
        """Return what the charge carries. What is too long for it isn't named."""
        issued = f"{_ISSUED} {self.issued_at.astimezone(UTC).isoformat(timespec='microseconds')}"
        whole = f"{issued}{self._of()}"
        return {REQUEST: whole if len(whole) <= LONGEST else issued}

    def _of(self) -> str:
        if self.top_up is not None:
            granted = [self.top_up.priority, self.top_up.valid_days]
            return f" {_CREDIT} {self.top_up.invoice_id} {json.dumps(granted)}"
        if self.order is not None:
            return f" {_ORDER} {self.order.invoice_id} {_json(_order_to(self.order))}"
        if self.change is not None:
            return f" {_CHANGE} {self.change.change_id} {_json(_change_to(self.change))}"
        return ""


def read_invoice_mark(metadata: Mapping[str, str]) -> InvoiceMark | None:
    """Return the mark of a charge, or None where it has none that can be read."""
    parts = metadata.get(REQUEST, "").split(" ", 4)
    if parts[0] != _ISSUED or len(parts) < 2:
        return None
    try:
        issued_at = datetime.fromisoformat(parts[1])
        of = parts[2:] if len(parts) == 5 else ["", "", ""]
        change = _change_of(of[1], of[2]) if of[0] == _CHANGE else None
        top_up = _top_up_of(of[1], of[2]) if of[0] == _CREDIT else None
        order = _order_of(of[1], of[2]) if of[0] == _ORDER else None
    except (ValueError, TypeError, AttributeError):
        return None
    return None if issued_at.tzinfo is None else InvoiceMark(issued_at, change, top_up, order)


def _json(words: object) -> str:
    return json.dumps(words, sort_keys=True, separators=(",", ":"))


def _order_to(order: OrderMark) -> list[Any]:
    service = None if order.service is None else [str(each) for each in order.service]
    return [[list(line) for line in order.lines], service, int(order.included)]


def _order_of(invoice_id: str, words: str) -> OrderMark:
    lines, service, included = json.loads(words)
    days = None
    if service is not None:
        first, last, zone = service
        days = (date.fromisoformat(first), date.fromisoformat(last), str(zone))
    named = tuple((str(text), int(amount)) for text, amount in lines)
    return OrderMark(UUID(invoice_id), named, days, bool(included))


def _change_to(change: ChangeMark) -> dict[str, Any]:
    asked: dict[str, Any] = {"items": dict(change.items)} if change.items else {}
    for name in ("plan", "billing_day", "zone"):
        value = getattr(change, name)
        if value is not None:
            asked[name] = value
    return asked


def _top_up_of(invoice_id: str, words: str) -> TopUpMark:
    priority, valid_days = json.loads(words)
    days = None if valid_days is None else int(valid_days)
    return TopUpMark(UUID(invoice_id), int(priority), days)


def _change_of(change_id: str, words: str) -> ChangeMark:
    asked = json.loads(words)
    items = {str(code): int(quantity) for code, quantity in asked.get("items", {}).items()}
    day = asked.get("billing_day")
    billing_day = None if day is None else int(day)
    return ChangeMark(UUID(change_id), asked.get("plan"), items, billing_day, asked.get("zone"))
