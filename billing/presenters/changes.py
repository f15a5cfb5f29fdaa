"""A change of a subscription in words: what is held, from when, and the invoice."""

import calendar
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from billing.presenters.text import at
from billing.rules.money import Money

View = Mapping[str, Any]


def will(quoted: View) -> str:
    """Return what a change will do, as it was quoted."""
    return "\n".join(("this will hold " + _held(quoted), *_invoice(quoted)))


def told(quoted: View) -> str:
    """Return a quote, or what was done, with its digest."""
    return "\n".join((_held(quoted), *_invoice(quoted), f"digest {quoted['digest']}"))


def _held(quoted: View) -> str:
    holds_from = at(datetime.fromisoformat(quoted["holds_from"]))
    before, after = terms(quoted["before"]), terms(quoted["after"])
    moved = f"; {periods(quoted['periods'])}" if quoted["periods"] else ""
    return f"from {holds_from} on: {after}; before: {before}{moved}"


def periods(moved: View) -> str:
    """Return what becomes of the periods to come."""
    starts = at(datetime.fromisoformat(moved["starts_at"]))
    before, after = _schedule(moved["before"]), _schedule(moved["after"])
    return (
        f"period {moved['n']}, from {starts} on, and those after it are {after}; before: {before}"
    )


def _schedule(told: View) -> str:
    day = ""
    if told["anchor_weekday"]:
        day = f", on {calendar.day_name[told['anchor_weekday'] - 1]}s"
    elif told["anchor_day"]:
        month = f" of {calendar.month_name[told['anchor_month']]}" if told["anchor_month"] else ""
        day = f", on day {told['anchor_day']}{month}"
    return f"every {told['every']}{day} in {told['zone']}"


def terms(held: View) -> str:
    """Return what is held: a plan and its quantities."""
    items = ", ".join(f"{code} {quantity}" for code, quantity in held["items"].items())
    return f"{held['plan']} ({items})" if items else str(held["plan"])


def _invoice(quoted: View) -> Iterator[str]:
    if quoted["coupon"] is not None:
        yield f"coupon {quoted['coupon']} is redeemed, from the next period that begins on"
    for note in quoted["notes"]:
        total = Money(note["total"], note["currency"])
        to = "refunded" if note["destination"] == "refund" else "given back to credit"
        yield f"{to}, of invoice {note['invoice']}: {total}"
    invoice = quoted["invoice"]
    if invoice is None:
        yield "nothing is invoiced for it"
        return
    now = quoted["applies"] == "now"
    yield "invoiced at once:" if now else "the invoice of that period, as it would be today:"
    currency = invoice["currency"]
    for line in invoice["lines"]:
        yield f"  {line['description']}: {line['quantity']}, {_amount(line, currency)}"
    yield f"  total {Money(invoice['total'], currency)}, due {Money(invoice['due'], currency)}"


def _amount(line: View, currency: str) -> str:
    net = Money(line["amount"], currency)
    if not line["discount"]:
        return str(net)
    discount = Money(line["discount"], currency)
    return f"{Money(line['gross'], currency)} less {discount} of discounts: {net}"
