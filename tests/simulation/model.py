"""What every customer should have been billed, computed from what was asked for alone.

It shares no code with the engine: dates are counted here by a few functions of its own. Its input
is what was carried out, with the moment by the clock of who asked, and the catalog. What it says of
each period is exact; where a card declined, the end that follows from it is left to `verdict`.
"""

from calendar import monthrange
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from itertools import combinations
from typing import Final, Literal
from zoneinfo import ZoneInfo

from dateutil.relativedelta import relativedelta

from tests.simulation.catalog import Product
from tests.simulation.metered import Piece, Ran, Usage
from tests.simulation.pricing import (
    NOT_KNOWN,
    UNBILLED,
    Billed,
    Found,
    Held,
    Invoice,
    ItemChange,
    OfChange,
    Pricing,
    Published,
    Redeemed,
    changed,
    first_held,
    held_from,
    is_close,
    on_sale,
    price_of,
)

Kind = Literal["trial", "regular", "paused", "free"]
# Less is not charged by itself; in minor units.
LEAST: Final = {"USD": 50, "JPY": 50, "KWD": 0}


@dataclass(frozen=True)
class Contract:
    """A subscription as it was agreed; `quantity` is of the item that has one."""

    product: Product
    currency: str
    quantity: int
    zone: str
    began: datetime
    addons: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Sales:
    """What else was carried out: changes of what is held, in their order, coupons, and usage.

    Of what only the engine can tell: when it `ended`, which periods were `skipped`, and which of
    them were `opened` (None: all of them).
    """

    changes: Sequence[ItemChange] = ()
    coupons: Sequence[Redeemed] = ()
    found: Found = NOT_KNOWN
    apart: timedelta = timedelta()
    usage: Usage | None = None
    ended: datetime | None = None
    skipped: Collection[int] = ()
    opened: Collection[int] | None = None


NOTHING_SOLD: Final = Sales()


@dataclass(frozen=True)
class Change:
    """A pause, a resumption, an end."""

    at: datetime
    kind: Literal["pause", "resume", "cancel", "cancel at period end"]


@dataclass(frozen=True)
class Expected:
    """A period: when it is, whether it is billed, and its invoice."""

    n: int
    start: datetime
    end: datetime
    kind: Kind
    invoice: Invoice = UNBILLED

    @property
    def amount(self) -> int:
        """What it costs, credit not taken off."""
        return self.invoice.total


@dataclass
class Account:
    """All of a subscription's periods that begin before an instant, and when it ends.

    `changed` has what changes within periods come to, by their keys; `finals` the invoices that
    bill nothing but usage, by theirs.
    """

    periods: list[Expected] = field(default_factory=list)
    changed: dict[int, OfChange] = field(default_factory=dict)
    finals: dict[object, Invoice] = field(default_factory=dict)
    ends: datetime | None = None
    paused: bool = False


def account(
    contract: Contract,
    changes: Sequence[Change],
    prices: Published,
    until: datetime,
    sales: Sales = NOTHING_SOLD,
    billed: Collection[int] | None = None,
) -> Account:
    """Return what should have become of a subscription by an instant.

    `changes` are in the order in which they were carried out, `prices` those that were published
    later, each with its moment. Periods that are to be billed have an invoice when they are among
    the `billed` (None: all of them are).
    """
    return _Account(contract, changes, prices, sales, billed).until(until)


class _Account:
    """A subscription on its way through its periods."""

    def __init__(
        self,
        contract: Contract,
        changes: Sequence[Change],
        prices: Published,
        sales: Sales,
        billed: Collection[int] | None,
    ) -> None:
        self._contract, self._prices, self._sales = contract, prices, sales
        self._billed = billed
        self._ends, self._served = _end(contract, changes)
        self._pauses = [each for each in changes if each.kind in ("pause", "resume")]
        paused = bool(self._pauses) and self._pauses[-1].kind == "pause"
        self._found = Account(ends=self._ends, paused=paused)
        self._pricing = Pricing(
            contract.currency, contract.zone, sales.coupons, sales.found, sales.apart
        )
        self._usage = sales.usage or Usage(contract.currency, contract.zone, 1)

    def until(self, until: datetime) -> Account:
        """Go through all periods that begin before an instant."""
        base = _agreed(self._contract, self._prices)
        for period in _calendar(self._contract):
            over = self._ends is not None and period.start >= self._ends + self._served
            if period.start > until or over:
                break
            self._pass(period, held_from(base, self._sales.changes, period.start))
        self._bill_last()
        return self._found

    def _pass(self, period: "_Period", held: Held) -> None:
        kind: Kind = "paused" if _is_paused(self._pauses, period.start) else period.kind
        held = replace(held, price=price_of(held, self._prices, period.start, period.day))
        if kind == "regular" and self._pricing.is_free(held):
            kind = "free"
        invoice = self._invoice(period, kind, held)
        expected = Expected(period.n, period.start, period.end, kind, invoice)
        self._found.periods.append(expected)
        pieces = [(period.start, held)]
        for change in self._sales.changes:
            if change.now and period.start <= change.at < period.end:
                after = changed(held, change)
                self._found.changed[change.key] = self._pricing.change(change, after, held)
                held = after
                pieces.append((change.at, held))
        self._usage.ran(_ran(expected, pieces, self._sales))

    def _invoice(self, period: "_Period", kind: Kind, held: Held) -> Invoice:
        billed = kind == "regular" if self._billed is None else period.n in self._billed
        if kind == "free" or billed:
            lines = self._usage.lines(period.n)
            return self._pricing.bill(held, period.billed, free=kind == "free", usage=lines)
        self._pricing.pass_by()
        self._bill_usage(("final", period.n), period.start)
        return UNBILLED

    def _bill_last(self) -> None:
        """Bill what was used last."""
        ended = self._sales.ended
        for billing in self._usage.billings:
            if ended is not None and isinstance(billing.key, tuple) and billing.key[0] == "last":
                self._bill_usage(billing.key, ended)
        self._usage.finish()

    def _bill_usage(self, key: tuple[str, int], at: datetime) -> None:
        lines = self._usage.lines(key)
        if lines:
            last = key[0] == "last"
            self._found.finals[key] = self._pricing.of_usage(lines, key, at, ended=last)


def _ran(period: Expected, held: Sequence[tuple[datetime, Held]], sales: Sales) -> Ran:
    """Return a period as its usage is counted: what was held from when until when."""
    ends = [start for start, _ in held[1:]] + [period.end]
    is_empty = sales.ended == period.start
    last = period.end if sales.ended is None or is_empty else max(period.start, sales.ended)
    pieces = [
        Piece(start, min(end, last), each.product)
        for (start, each), end in zip(held, ends, strict=True)
        if start < end and start < last
    ]
    return Ran(
        period.n,
        period.start,
        period.end,
        pieces,
        trial=period.kind == "trial",
        paused=period.kind == "paused",
        billed=period.n not in sales.skipped,
        opened=sales.opened is None or period.n in sales.opened,
        is_empty=is_empty,
    )


def _agreed(contract: Contract, prices: Published) -> Held:
    day = next(_calendar(contract)).day
    price = on_sale(contract.product, prices, contract.began, day)
    return first_held(contract.product, price, contract.quantity, contract.addons)


def bounds(contract: Contract) -> Iterator[datetime]:
    """Yield the instants at which periods begin, for ever."""
    for period in _calendar(contract):
        yield period.start


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

    @property
    def billed(self) -> Billed:
        return Billed(self.n, self.start, self.end, self.part, self.whole)


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


# --- credit -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Granted:
    """Credit that a customer was given; the lowest priority is used first.

    What a change gives back can be used from the invoice with the number `since` on.
    """

    at: datetime
    amount: int
    priority: int = 50
    expires: datetime | None = None
    since: int | None = None


@dataclass(frozen=True)
class Invoiced:
    """An invoice: when it was issued, what it comes to, and whether it was reduced.

    Of one that is for a share, or has a discount, what is too small to be charged is waived.
    """

    at: datetime
    amount: int
    reduced: bool = False


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
    yield from _paid(currency, invoices, grants, apart, 0, tuple(each.amount for each in grants))


def _paid(
    currency: str,
    invoices: Sequence[Invoiced],
    grants: Sequence[Granted],
    apart: timedelta,
    number: int,
    left: tuple[int, ...],
) -> Iterator[list[Paid]]:
    if number == len(invoices):
        yield []
        return
    for here, now_left in _ways(currency, number, invoices[number], grants, apart, left):
        for following in _paid(currency, invoices, grants, apart, number + 1, now_left):
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
    for number, (invoice, was) in enumerate(zip(invoices, found, strict=True)):
        lefts = {
            now_left
            for left in lefts
            for here, now_left in _ways(currency, number, invoice, grants, apart, left)
            if here == was
        }
    return bool(lefts)


def _ways(
    currency: str,
    number: int,
    invoice: Invoiced,
    grants: Sequence[Granted],
    apart: timedelta,
    left: tuple[int, ...],
) -> Iterator[tuple[Paid, tuple[int, ...]]]:
    """Yield what may become of one invoice, and what is left of each grant then."""
    order = sorted(range(len(grants)), key=lambda n: _rank(grants[n]))
    doubtful = [n for n in order if left[n] and _is_close(grants[n], invoice.at, apart)]
    for without in _subsets(doubtful):
        rest, credit, now_left = invoice.amount, 0, list(left)
        for n in order:
            usable = n in doubtful or _is_usable(grants[n], number, invoice.at)
            if usable and n not in without:
                used = min(rest, now_left[n])
                rest, credit, now_left[n] = rest - used, credit + used, now_left[n] - used
        waives = rest < LEAST[currency] and (credit > 0 or invoice.reduced or rest == 0)
        here = Paid(credit, rest, 0) if waives else Paid(credit, 0, rest)
        yield here, tuple(now_left)


def _rank(grant: Granted) -> tuple[int, datetime, datetime]:
    return grant.priority, grant.expires or datetime.max.replace(tzinfo=UTC), grant.at


def _is_usable(grant: Granted, number: int, at: datetime) -> bool:
    if grant.since is not None:
        return grant.since <= number
    return grant.at <= at and (grant.expires is None or at < grant.expires)


def _is_close(grant: Granted, at: datetime, apart: timedelta) -> bool:
    ends = grant.expires
    if grant.since is not None:
        return False
    begins = is_close(grant.at, at, apart)
    return begins or (ends is not None and abs(ends - at) <= apart)


def _subsets(numbers: Sequence[int]) -> Iterator[set[int]]:
    for size in range(len(numbers) + 1):
        yield from map(set, combinations(numbers, size))
