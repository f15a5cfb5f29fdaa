"""Invoices: what one period owes. Pure: a plan version and a period in, a draft out."""

from dataclasses import dataclass

from billing.errors import BadInput, ErrorCode
from billing.rules.money import Money, prorate
from billing.rules.periods import ScheduledPeriod, service_days
from plans.currencies import charge_step
from plans.terms import PlanVersion


class NoPrice(BadInput):
    """The plan version isn't sold in that currency."""

    code = ErrorCode.PRICE_MISSING


@dataclass(frozen=True, slots=True)
class Line:
    """What part of an invoice is for, in minor units.

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
    """Return what the period owes at the prices of that version. A trial owes nothing: no lines.

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
