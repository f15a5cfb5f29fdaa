"""What every customer should have been billed, computed from what was asked for alone.

It shares no code with the engine: dates are counted here by a few functions of its own. Its input
is what was carried out, with the moment by the clock of who asked, and the catalog. What it says of
each period is exact; where a card declined, the end that follows from it is left to `verdict`.
"""

from calendar import monthrange
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

from dateutil.relativedelta import relativedelta

from tests.simulation.catalog import Price, Product

Kind = Literal["trial", "regular", "paused"]
# Less is not charged by itself; in minor units.
LEAST: Final = {"USD": 50, "JPY": 50, "KWD": 0}


@dataclass(frozen=True)
class Contract:
    """A subscription as it was agreed."""

    product: Product
    currency: str
    quantity: int
    zone: str
    began: datetime


@dataclass(frozen=True)
class Change:
    """A pause, a resumption, an end."""

    at: datetime
    kind: Literal["pause", "resume", "cancel", "cancel at period end"]


@dataclass(frozen=True)
class Expected:
    """A period: when it is, whether it is billed, and how much."""

    n: int
    start: datetime
    end: datetime
    kind: Kind
    amount: int


@dataclass
class Account:
    """All of a subscription's periods that begin before an instant, and when it ends."""

    periods: list[Expected] = field(default_factory=list)
    ends: datetime | None = None
    paused: bool = False


def account(
    contract: Contract,
    changes: Sequence[Change],
    prices: Sequence[tuple[datetime, Price]],
    until: datetime,
) -> Account:
    """Return what should have become of a subscription by an instant.

    `changes` are in the order in which they were carried out, `prices` those that were published
    later, each with its moment.
    """
    ends, served = _end(contract, changes)
    pauses = [each for each in changes if each.kind in ("pause", "resume")]
    found = Account(ends=ends, paused=bool(pauses) and pauses[-1].kind == "pause")
    for period in _calendar(contract):
        if period.start > until or (ends is not None and period.start >= ends + served):
            break
        kind: Kind = "paused" if _is_paused(pauses, period.start) else period.kind
        amount = _price(contract, prices, period) if kind == "regular" else 0
        if amount < LEAST[contract.currency] and period.part != period.whole:
            amount = 0  # waived
        found.periods.append(Expected(period.n, period.start, period.end, kind, amount))
    return found


def _is_paused(pauses: Sequence[Change], start: datetime) -> bool:
    before = [each for each in pauses if each.at < start]
    return bool(before) and before[-1].kind == "pause"


def _end(contract: Contract, changes: Sequence[Change]) -> tuple[datetime | None, timedelta]:
    """Return when a subscription ends by what was asked for.

    What ends at once serves the period that begins at that very instant, what ends with a period
    doesn't serve the next one.
    """
    ends: datetime | None = None
    for change in changes:
        if ends is not None and change.at >= ends:
            break
        if change.kind == "cancel":
            return change.at, timedelta.resolution
        if change.kind == "cancel at period end":
            ends = next(each.end for each in _calendar(contract) if change.at < each.end)
        if change.kind == "resume":
            ends = None
    return ends, timedelta()


# --- periods ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Period:
    n: int
    start: datetime
    end: datetime
    kind: Literal["trial", "regular"]
    day: date  # the civil day it begins on
    part: int = 1
    whole: int = 1


def _calendar(contract: Contract) -> Iterator[_Period]:
    """Yield periods for ever."""
    zone, product = ZoneInfo(contract.zone), contract.product
    first = contract.began.astimezone(zone).replace(tzinfo=None, microsecond=0)
    bounds = _bounds(product, first)
    start = next(bounds)
    for n, end in enumerate(bounds):
        trial = n == 0 and product.trial_days > 0
        part, whole = 1, 1
        if n == 0 and product.anchor_day is not None:
            before = _anchored(product.anchor_day, end, -1)
            part, whole = (end.date() - start.date()).days, (end.date() - before.date()).days
        yield _Period(
            n,
            start.replace(tzinfo=zone).astimezone(UTC),
            end.replace(tzinfo=zone).astimezone(UTC),
            "trial" if trial else "regular",
            start.date(),
            part,
            whole,
        )
        start = end


def _bounds(product: Product, first: datetime) -> Iterator[datetime]:
    """Yield the civil instants at which periods begin."""
    yield first
    if product.trial_days:
        first += timedelta(days=product.trial_days)
        yield first
    count, unit = product.every
    if product.anchor_day is not None:
        bound = _anchored(product.anchor_day, first, 0)
        if bound <= first:
            bound = _anchored(product.anchor_day, first, 1)
        n = 0
        while True:
            yield _anchored(product.anchor_day, bound, n)
            n += count
    n = 0
    while True:
        n += count
        yield first + _step(unit, n)


def _step(unit: str, count: int) -> relativedelta:
    if unit == "day":
        return relativedelta(days=count)
    if unit == "week":
        return relativedelta(weeks=count)
    return relativedelta(months=count if unit == "month" else 12 * count)


def _anchored(day: int, near: datetime, months: int) -> datetime:
    """Return midnight of a day of the month, so many months from another one."""
    moved = near.replace(day=1) + relativedelta(months=months)
    last = monthrange(moved.year, moved.month)[1]
    return datetime(moved.year, moved.month, min(day, last))  # noqa: DTZ001  civil time


# --- prices -------------------------------------------------------------------------------------


def _price(contract: Contract, published: Sequence[tuple[datetime, Price]], period: _Period) -> int:
    """Return what a period costs: the agreed price, or the last one that moved everybody."""
    first = next(_calendar(contract))
    on_sale = [*contract.product.prices[:1]] + [
        price for at, price in published if at < contract.began
    ]
    held = max(
        (price for price in on_sale if price.effective <= first.day), key=lambda p: p.effective
    )
    for at, price in published:
        later = price.effective > held.effective
        if later and price.moves and price.effective <= period.day and at < period.start:
            held = price
    amount = held.amounts[contract.currency] * contract.quantity
    return (2 * amount * period.part + period.whole) // (2 * period.whole)
