"""What every customer should have been billed, computed from what was asked for alone.

It shares no code with the engine: dates are counted here by a few functions of its own. Its input
is what was carried out, with the moment by the clock of who asked, and the catalog. What it says of
each period is exact; where a card declined, the end that follows from it is left to `verdict`.
"""

from calendar import monthrange
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import combinations
from typing import Final, Literal
from zoneinfo import ZoneInfo

from dateutil.relativedelta import relativedelta

from tests.simulation.catalog import Item, Price, Product

Kind = Literal["trial", "regular", "paused", "free"]
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
    """A period: when it is, whether it is billed, and how much, credit not taken off.

    Of a share of a period what is too small to be charged is waived.
    """

    n: int
    start: datetime
    end: datetime
    kind: Kind
    amount: int
    is_share: bool = False


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
    billed_first: int | None = None,
) -> Account:
    """Return what should have become of a subscription by an instant.

    `changes` are in the order in which they were carried out, `prices` those that were published
    later, each with its moment. What is charged once is on the first invoice, which is that of
    period `billed_first` (None: of the first that is to be billed).
    """
    ends, served = _end(contract, changes)
    pauses = [each for each in changes if each.kind in ("pause", "resume")]
    found = Account(ends=ends, paused=bool(pauses) and pauses[-1].kind == "pause")
    for period in _calendar(contract):
        if period.start > until or (ends is not None and period.start >= ends + served):
            break
        kind: Kind = "paused" if _is_paused(pauses, period.start) else period.kind
        amount = 0
        if kind == "regular":
            base = _base(contract, prices, period)
            if billed_first is None:
                billed_first = period.n
            amount = _amount(contract, base, period, with_once=period.n == billed_first)
            if contract.product.flat and base == 0:
                kind = "free"
        is_share = period.part != period.whole
        found.periods.append(Expected(period.n, period.start, period.end, kind, amount, is_share))
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


def _base(contract: Contract, published: Sequence[tuple[datetime, Price]], period: _Period) -> int:
    """Return a unit's price: the agreed one, or the last one that moved everybody."""
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
    return held.amounts[contract.currency]


def _amount(contract: Contract, base: int, period: _Period, *, with_once: bool) -> int:
    """Return what a period costs: each item is rounded by itself, and what is once isn't shared."""
    product = contract.product
    whole = base if product.items or product.flat else base * contract.quantity
    total = _share(whole, period)
    for item in product.items:
        if not item.once:
            total += _share(_tiered(item, contract.quantity, contract.currency), period)
        elif with_once:
            total += item.tiers[0][1][contract.currency]
    return total


def _share(amount: int, period: _Period) -> int:
    return (2 * amount * period.part + period.whole) // (2 * period.whole)


def _tiered(item: Item, quantity: int, currency: str) -> int:
    """Return what a quantity costs, unit by unit."""

    def price_of(unit: int) -> int:
        return next(
            amounts[currency] for last, amounts in item.tiers if last is None or unit <= last
        )

    if item.volume:
        return quantity * price_of(quantity)
    return sum(price_of(unit) for unit in range(1, quantity + 1))


# --- credit -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Granted:
    """Credit that a customer was given; the lowest priority is used first."""

    at: datetime
    amount: int
    priority: int = 50
    expires: datetime | None = None


@dataclass(frozen=True)
class Invoiced:
    """An invoice: when it was issued, what it comes to, and whether it is for a share."""

    at: datetime
    amount: int
    is_share: bool = False


@dataclass(frozen=True)
class Paid:
    """What credit pays of an invoice, what is waived, and what is due."""

    credit: int
    waived: int
    due: int


def paid(
    currency: str, invoices: Sequence[Invoiced], grants: Sequence[Granted], apart: timedelta
) -> Iterator[list[Paid]]:
    """Yield what may become of invoices, in order.

    There is one way, unless a grant begins or ends so close to an invoice that it is the clocks of
    those who asked, which are so far `apart` at most, that decide whether it is used.
    """
    yield from _paid(currency, invoices, grants, apart, tuple(each.amount for each in grants))


def _paid(
    currency: str,
    invoices: Sequence[Invoiced],
    grants: Sequence[Granted],
    apart: timedelta,
    left: tuple[int, ...],
) -> Iterator[list[Paid]]:
    if not invoices:
        yield []
        return
    for here, now_left in _ways(currency, invoices[0], grants, apart, left):
        for following in _paid(currency, invoices[1:], grants, apart, now_left):
            yield [here, *following]


def may_be_paid(
    currency: str,
    invoices: Sequence[Invoiced],
    grants: Sequence[Granted],
    apart: timedelta,
    found: Sequence[Paid],
) -> bool:
    """Tell whether this is one of the ways that `paid` yields: there may be too many to list."""
    lefts = {tuple(each.amount for each in grants)}
    for invoice, was in zip(invoices, found, strict=True):
        lefts = {
            now_left
            for left in lefts
            for here, now_left in _ways(currency, invoice, grants, apart, left)
            if here == was
        }
    return bool(lefts)


def _ways(
    currency: str,
    invoice: Invoiced,
    grants: Sequence[Granted],
    apart: timedelta,
    left: tuple[int, ...],
) -> Iterator[tuple[Paid, tuple[int, ...]]]:
    """Yield what may become of one invoice, and what is left of each grant then."""
    order = sorted(range(len(grants)), key=lambda n: _rank(grants[n]))
    doubtful = [n for n in order if _is_close(grants[n], invoice.at, apart)]
    for without in _subsets(doubtful):
        rest, credit, now_left = invoice.amount, 0, list(left)
        for n in order:
            usable = n in doubtful or _is_usable(grants[n], invoice.at)
            if usable and n not in without:
                used = min(rest, now_left[n])
                rest, credit, now_left[n] = rest - used, credit + used, now_left[n] - used
        waives = rest < LEAST[currency] and (credit > 0 or invoice.is_share or rest == 0)
        here = Paid(credit, rest, 0) if waives else Paid(credit, 0, rest)
        yield here, tuple(now_left)


def _rank(grant: Granted) -> tuple[int, datetime, datetime]:
    return grant.priority, grant.expires or datetime.max.replace(tzinfo=UTC), grant.at


def _is_usable(grant: Granted, at: datetime) -> bool:
    return grant.at <= at and (grant.expires is None or at < grant.expires)


def _is_close(grant: Granted, at: datetime, apart: timedelta) -> bool:
    ends = grant.expires
    return abs(grant.at - at) <= apart or (ends is not None and abs(ends - at) <= apart)


def _subsets(numbers: Sequence[int]) -> Iterator[set[int]]:
    for size in range(len(numbers) + 1):
        yield from map(set, combinations(numbers, size))
