"""What usage comes to: which events a period has, their quantities, and the lines that bill them.

A part of the model: it shares no code with the engine, and follows the pages of usage and plans.
Its input are the events that were counted, the periods, and what was known when something was
billed.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Final
from zoneinfo import ZoneInfo

from tests.simulation.catalog import METERS, MeteredItem, Product

WAIT: Final = timedelta(hours=1)  # for usage to arrive, before it is billed
Place = tuple[int, str]
"""A period by its number, and a meter."""


@dataclass(frozen=True)
class Used:
    """Something that was used: an event, with the property that each kind of meter reads."""

    id: int
    at: datetime
    event: str
    n: Fraction
    user: str


@dataclass(frozen=True)
class Piece:
    """A part of a period in which one plan was held."""

    start: datetime
    end: datetime
    product: Product


@dataclass(frozen=True)
class Ran:
    """A period as it ran: in which pieces, whether it is a trial, paused, billed, and has a cycle.

    `end` is when it was to end; what ended it sooner ends its last piece. One that ended as it
    began `is_empty`.
    """

    n: int
    start: datetime
    end: datetime
    pieces: Sequence[Piece]
    trial: bool = False
    paused: bool = False
    billed: bool = True
    opened: bool = True
    is_empty: bool = False


@dataclass(frozen=True)
class Billing:
    """Usage was billed: on which invoice (None: nothing was charged), and what was known of it."""

    key: object
    at: datetime
    known: Mapping[Place, frozenset[Used]]


@dataclass(frozen=True)
class UsageLine:
    """What is charged for usage, in minor units."""

    item: str
    gross: int


@dataclass(frozen=True)
class _Run:
    """Pieces that follow each other and bill one item at one price."""

    item: MeteredItem
    start: datetime
    end: datetime


@dataclass
class Usage:
    """The usage of a subscription, billed in the order in which it was.

    Where coupons hold, an invoice of it `may_be_free`, and isn't issued then.
    """

    currency: str
    zone: str
    step: int
    billings: Sequence[Billing] = ()
    may_be_free: bool = False
    problems: list[str] = field(default_factory=list)
    periods: dict[int, Ran] = field(default_factory=dict)
    _billed: dict[tuple[int, datetime, str], frozenset[Used]] = field(default_factory=dict)
    _done: int = 0

    def ran(self, period: Ran) -> None:
        """Note a period, whose usage is billed with what comes after it."""
        self.periods[period.n] = period

    def lines(self, key: object) -> list[UsageLine]:
        """Return the lines that an invoice has for usage; what was billed before is billed."""
        found: list[UsageLine] = []
        numbers = [n for n, each in enumerate(self.billings) if each.key == key]
        if not numbers:
            return found
        for billing in self.billings[self._done : numbers[-1] + 1]:
            found = list(self._bill(billing))
            unbilled = billing.key != key or key is None
            if unbilled and any(each.gross for each in found) and not self.may_be_free:
                self.problems.append(f"usage is closed on {billing.at}, and {found} isn't billed")
        self._done = numbers[-1] + 1
        return found

    def finish(self) -> None:
        """Take what was closed last without an invoice."""
        if self._done < len(self.billings):
            self.lines(self.billings[-1].key)

    def _bill(self, billing: Billing) -> Iterator[UsageLine]:
        for n in sorted({n for n, _ in billing.known}):
            period = self.periods.get(n)
            if period is None:
                self.problems.append(f"usage of period {n} is closed, and there is no such period")
                continue
            for run in runs(period):
                known = billing.known.get((n, run.item.meter))
                if known is not None:
                    yield from self._of_run(period, run, _within(run, known))

    def _of_run(self, period: Ran, run: _Run, known: frozenset[Used]) -> Iterator[UsageLine]:
        place = (period.n, run.start, run.item.code)
        before = self._billed.get(place)
        if before == known:
            return
        self._billed[place] = known
        if not period.billed or (period.trial and not run.item.bills_trial):
            return
        share = self.share(period, run)
        if before is not None:
            least = self._least(period, run.item, share)
            amounts = [max(self._price(run.item, each, share), least) for each in (known, before)]
            yield UsageLine(run.item.code, amounts[0] - amounts[1])
            return
        used = self._price(run.item, known, share)
        yield UsageLine(run.item.code, used)
        missing = self._least(period, run.item, share) - used
        if missing > 0:
            yield UsageLine(run.item.code, missing)

    # --- prices ---------------------------------------------------------------------------------

    def share(self, period: Ran, run: _Run) -> Fraction:
        """Return the share of a period that the bounds of a part of it have: that of its days."""
        if period.is_empty:
            return Fraction(0)
        if (run.start, run.end) == (period.start, period.end):
            return Fraction(1)
        whole = max(1, self._days(period.start, period.end))
        days = self._days(run.start, run.end)
        return Fraction(min(days if period.opened else max(1, days), whole), whole)

    def _days(self, start: datetime, end: datetime) -> int:
        zone = ZoneInfo(self.zone)
        return (end.astimezone(zone).date() - start.astimezone(zone).date()).days

    def _price(self, item: MeteredItem, used: Collection[Used], share: Fraction) -> int:
        amount = cost(item, quantity(item, used), self.currency)
        if item.maximum:
            amount = min(amount, item.maximum[self.currency] * share)
        return self._rounded(amount)

    def _least(self, period: Ran, item: MeteredItem, share: Fraction) -> int:
        """Return what is charged at the least; nothing of a period that is paused."""
        if period.paused:
            return 0
        return self._rounded(item.minimum.get(self.currency, 0) * share)

    def _rounded(self, amount: Fraction) -> int:
        return int((amount / self.step + Fraction(1, 2)) // 1) * self.step


def _within(run: _Run, known: Collection[Used]) -> frozenset[Used]:
    return frozenset(each for each in known if run.start <= each.at < run.end)


def runs(period: Ran) -> list[_Run]:
    """Return what a period bills of usage: pieces that follow each other at one price are one."""
    found: list[_Run] = []
    for piece in period.pieces:
        for item in piece.product.metered:
            same = (n for n, each in enumerate(found) if _goes_on(each, item, piece.start))
            place = next(same, None)
            if place is None:
                found.append(_Run(item, piece.start, piece.end))
            else:
                found[place] = replace(found[place], end=piece.end)
    return found


def _goes_on(run: _Run, item: MeteredItem, start: datetime) -> bool:
    return run.end == start and replace(run.item, late_days=0) == replace(item, late_days=0)


def quantity(item: MeteredItem, used: Collection[Used]) -> Fraction:
    """Return what events come to on the meter of an item; never less than nothing."""
    aggregate = METERS[item.meter].aggregate
    if aggregate == "count":
        return Fraction(len(used))
    if aggregate == "unique":
        return Fraction(len({each.user for each in used}))
    numbers = [each.n for each in used]
    found = sum(numbers, Fraction(0)) if aggregate == "sum" else max(numbers, default=Fraction(0))
    return max(Fraction(0), found)


def cost(item: MeteredItem, quantity: Fraction, currency: str) -> Fraction:
    """Return what a quantity costs in a whole period, counted tier by tier."""
    left, below, found = max(Fraction(0), quantity - item.included), 0, Fraction(0)
    for last, amounts in item.tiers:
        units = left if last is None else min(left, Fraction(last - below))
        found += units * amounts[currency]
        left, below = left - units, last or below
    return found
