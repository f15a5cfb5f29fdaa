"""Invoices: the lines and totals of one period, and how an invoice's status may change.

Pure: a plan version and a period in, a draft out. The database refuses the same changes of status.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from billing.errors import BadInput, Conflict, ErrorCode
from billing.plans.currencies import charge_step
from billing.plans.terms import PlanVersion
from billing.rules.money import Money, prorate
from billing.rules.periods import ScheduledPeriod, service_days


class InvoiceStatus(StrEnum):
    """The status of an invoice. It stays open while its payment is declined and retried."""

    OPEN = "open"
    PAID = "paid"
    VOID = "void"
    """The customer doesn't owe it."""
    UNCOLLECTIBLE = "uncollectible"
    """Written off: the customer owes it, but we don't expect to collect it."""

    @property
    def earns(self) -> bool:
        """Tell whether the invoice's revenue is still to be recognised."""
        return self in (InvoiceStatus.OPEN, InvoiceStatus.PAID)


CHANGES: Final[frozenset[tuple[InvoiceStatus, InvoiceStatus]]] = frozenset(
    {
        (InvoiceStatus.OPEN, InvoiceStatus.PAID),
        (InvoiceStatus.OPEN, InvoiceStatus.VOID),
        (InvoiceStatus.OPEN, InvoiceStatus.UNCOLLECTIBLE),
        (InvoiceStatus.UNCOLLECTIBLE, InvoiceStatus.OPEN),  # its payment was reopened
        (InvoiceStatus.UNCOLLECTIBLE, InvoiceStatus.PAID),  # found at the provider after all
        (InvoiceStatus.VOID, InvoiceStatus.PAID),  # found at the provider after all
    }
)


class IllegalChange(Conflict):
    """The invoice can't go from that status to the other."""


def check_change(from_: InvoiceStatus, to: InvoiceStatus) -> None:
    """Check that a change of status is legal. Raises: IllegalChange."""
    if (from_, to) not in CHANGES:
        raise IllegalChange(f"an invoice that is {from_} can't become {to}", status=from_)


class NoPrice(BadInput):
    """The plan version isn't sold in that currency."""

    code = ErrorCode.PRICE_MISSING


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an invoice, in minor units.

    `amount` is quantity times `unit_amount`, or its share where the description names one.
    """

    description: str
    quantity: int
    unit_amount: int
    amount: int


@dataclass(frozen=True, slots=True)
class Draft:
    """An invoice before it has a number, in minor units; `total` is `net` plus `tax`."""

    currency: str
    lines: tuple[Line, ...]
    net: int
    tax: int
    total: int

    def __post_init__(self) -> None:
        assert self.net == sum(line.amount for line in self.lines), "lines add up to net"
        assert self.total == self.net + self.tax, "net and tax add up to the total"


def draft(
    name: str,
    version: PlanVersion,
    scheduled: ScheduledPeriod,
    quantity: int,
    currency: str,
    *,
    zone: str = "UTC",
) -> Draft:
    """Return the draft of a period's invoice at the prices of that version.

    A trial has no lines.

    A stub owes its share of the whole line, rounded once, to what can be charged.
    Raises: NoPrice; AmountOutOfRange (of money).
    """
    if quantity < 1:
        raise ValueError(f"a quantity is at least 1, not {quantity}")
    if scheduled.kind == "trial":
        return Draft(currency, (), 0, 0, 0)
    unit = _price(version, currency)
    part, whole = scheduled.part, scheduled.whole
    amount = prorate(unit * quantity, part, whole, charge_step(currency)).amount
    first, last = service_days(scheduled.period, zone)
    share = "" if part == whole else f" ({part} of {whole} days)"
    line = Line(f"{name}, {first} to {last}{share}", quantity, unit.amount, amount)
    return Draft(currency, (line,), amount, 0, amount)


def with_carried(draft: Draft, carried: int) -> Draft:
    """Return the draft with what an invoice of before was too small to charge."""
    if not carried:
        return draft
    line = Line("Carried over from the invoice before", 1, carried, carried)
    return _with_line(draft, line)


def carried_over(draft: Draft) -> Draft:
    """Return the draft without anything to pay: it is carried over to the next invoice."""
    line = Line("Too small to charge: carried over to the next invoice", 1, -draft.net, -draft.net)
    return _with_line(draft, line)


def _with_line(draft: Draft, line: Line) -> Draft:
    assert not draft.tax, "tax is computed on all lines"
    net = draft.net + line.amount
    return Draft(draft.currency, (*draft.lines, line), net, 0, net)


def number(prefix: str, n: int) -> str:
    """Return an invoice number like "K7Q2MX-0012".

    The prefix is the subscription's own and n counts within it, so that no two renewals
    wait for one counter.
    """
    return f"{prefix}-{n:04d}"


def _price(version: PlanVersion, currency: str) -> Money:
    amount = version.prices.get(currency)
    if amount is None:
        raise NoPrice(
            f"{version.plan} of {version.effective} has no price in {currency}",
            sold_in=tuple(sorted(version.prices)),
        )
    return Money(amount, currency)
