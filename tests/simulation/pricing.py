"""What invoices come to: their lines, coupons, changes within a period, and credit notes.

A part of the model: it shares no code with the engine, and follows the pages of plans, changes and
credit notes. Its input is what was agreed and carried out, in the order of the subscription's
periods.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from functools import partial
from operator import mul
from typing import Final
from zoneinfo import ZoneInfo

from dateutil.relativedelta import relativedelta

from tests.simulation.amounts import Line, half_up, split
from tests.simulation.catalog import ADDONS, Coupon, Item, Price, Product
from tests.simulation.metered import UsageLine
from tests.simulation.taxing import taxed

STEP: Final = {"KWD": 10}  # card networks have no third decimal
SEATS: Final = 3  # of a plan that has them, where nobody says
HELD_UP: Final = timedelta(hours=1)  # who asks, by somebody else's lock
Terms = tuple[str, date, str]
Published = Sequence[tuple[datetime, str, Price]]


def is_close(asked: datetime, issued: datetime, apart: timedelta) -> bool:
    """Tell whether it is clocks that decide what was first, or how long somebody was held up."""
    return -apart <= issued - asked <= max(apart, apart and HELD_UP)


# --- what is held -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Held:
    """A plan at a price that was agreed, and quantities by item and add-on."""

    product: Product
    price: Price
    items: Mapping[str, int]


@dataclass(frozen=True)
class ItemChange:
    """Another plan, at a price, or other quantities; it holds at once (`now`) or with a period."""

    key: int
    at: datetime
    holds: datetime
    now: bool
    product: Product | None = None
    price: Price | None = None
    items: Mapping[str, int] = field(default_factory=dict)


def first_held(product: Product, price: Price, quantity: int, addons: Mapping[str, int]) -> Held:
    """Return what is held from the start; `quantity` is of the item that has one."""
    code = _counted(product)
    counted = {} if code is None else {code: quantity}
    return Held(product, price, {**counted, **addons})


def held_from(base: Held, changes: Sequence[ItemChange], start: datetime) -> Held:
    """Return what is held in a period that starts at an instant."""
    holding = [
        each for each in changes if each.holds < start or (each.holds == start and not each.now)
    ]
    for each in sorted(holding, key=lambda each: each.holds):
        base = changed(base, each)
    return base


def changed(held: Held, change: ItemChange) -> Held:
    """Return what is held after a change; an add-on of 0 is removed.

    What it says of an item that the plan doesn't have was asked for before the plan, and is over.
    """
    product, price, items = held.product, held.price, dict(held.items)
    if change.product is not None and change.price is not None:
        product, price = change.product, change.price
        code = _counted(product)
        default = SEATS if product.seats is not None else 1
        items = {each: count for each, count in items.items() if each in ADDONS}
        if code is not None:
            items[code] = held.items.get(code, default)
    known = {_counted(product), *ADDONS}
    items |= {each: count for each, count in change.items.items() if each in known}
    return Held(
        product,
        price,
        {each: count for each, count in items.items() if count or each not in ADDONS},
    )


def _counted(product: Product) -> str | None:
    """Return the item that a subscription has a quantity of."""
    if product.seats is not None:
        return product.seats.code
    return None if product.flat or product.items else "base"


def on_sale(product: Product, published: Published, at: datetime, day: date) -> Price:
    """Return the price that somebody gets who orders a plan at an instant, from a day on."""
    prices = [*product.prices[:1]]
    prices += [price for when, plan, price in published if plan == product.code and when < at]
    return max((each for each in prices if each.effective <= day), key=lambda each: each.effective)


def price_of(held: Held, published: Published, start: datetime, day: date) -> Price:
    """Return the price of a period: the agreed one, or the last one that moved everybody."""
    price = held.price
    for when, plan, each in published:
        later = plan == held.product.code and each.effective > price.effective
        if later and each.moves and each.effective <= day and when < start:
            price = each
    return price


# --- charges ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Charge:
    """An item at its terms, and what a number of units costs in a whole period."""

    item: str
    terms: Terms
    quantity: int
    costs: Callable[[int], int]
    once: bool = False
    free: bool = False
    volume: bool = False
    included: bool = False


def charges(held: Held, currency: str) -> Iterator[Charge]:
    """Yield what is charged for a period, in the order of an invoice's lines."""
    product, base = held.product, held.price.amounts[currency]
    terms = (product.code, held.price.effective)
    quantity = held.items.get("base", 1)
    yield Charge(
        "base",
        (*terms, "base"),
        quantity,
        partial(mul, base),
        free=base == 0,
        included=product.included,
    )
    for item in product.items:
        yield Charge(
            item.code,
            (*terms, item.code),
            1 if item.once else held.items[item.code],
            _tiered(item, currency),
            once=item.once,
            volume=item.volume,
            included=product.included,
        )
    for code, quantity in held.items.items():
        if code in ADDONS:
            unit = ADDONS[code].amounts[currency]
            yield Charge(code, (code, date.min, code), quantity, partial(mul, unit))


def _tiered(item: Item, currency: str) -> Callable[[int], int]:
    """Return what a quantity costs, counted unit by unit."""

    def price_of(unit: int) -> int:
        return next(
            amounts[currency] for last, amounts in item.tiers if last is None or unit <= last
        )

    def graduated(count: int) -> int:
        return sum(price_of(unit) for unit in range(1, count + 1))

    def volume(count: int) -> int:
        return count * price_of(count)

    return volume if item.volume else graduated


# --- coupons ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Redeemed:
    """A coupon that was redeemed, under a key of its own.

    One that is `shared` is used by another subscription of the customer, too.
    """

    key: object
    at: datetime
    coupon: Coupon
    shared: bool = False


# --- invoices -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Invoice:
    """What an invoice comes to, credit not taken off.

    What is small of one that is `reduced`, by a discount or to a share, is waived.
    """

    lines: tuple[Line, ...]
    reduced: bool = False

    @property
    def total(self) -> int:
        return sum(line.total for line in self.lines)


@dataclass(frozen=True)
class Billed:
    """A period as it is billed: `n`, its instants and civil days, and its share of a whole one."""

    n: int
    start: datetime
    end: datetime
    part: int
    whole: int


@dataclass(frozen=True)
class _Piece:
    """Units that were charged, those after `first` up to `last`, by a line of an invoice."""

    invoice: object
    line: int
    first: int
    last: int


@dataclass(frozen=True)
class OfChange:
    """What a change within a period comes to: an invoice, and what goes back by line."""

    invoice: Invoice | None
    returns: Mapping[tuple[object, int], int]


UNBILLED: Final = Invoice(())
NOTHING: Final = OfChange(None, {})


@dataclass(frozen=True)
class Found:
    """What is known of what happened, where several outcomes are right.

    `used` tells whether an invoice had a coupon that was redeemed as its period began; `stands`
    whether an invoice was paid when a change was made; `left` what notes had left of a line then;
    `void` whether an invoice was voided, and had used no coupon then; `levied` has the rates at
    which an invoice may be taxed, in percent, and `total` what it comes to.
    """

    levied: Callable[[object], Sequence[Fraction]] = lambda _: ()
    total: Callable[[object], int | None] = lambda _: None

    used: Callable[[object, object], bool] = lambda _, __: True
    void: Callable[[object], bool] = lambda _: False
    stands: Callable[[object, ItemChange], bool] = lambda _, __: True
    left: Callable[[object, int, ItemChange], int | None] = lambda _, __, ___: None


NOT_KNOWN: Final = Found()


class Pricing:
    """A subscription's invoices, one after the other."""

    def __init__(
        self, currency: str, zone: str, coupons: Sequence[Redeemed], found: Found, apart: timedelta
    ) -> None:
        self.currency, self.zone = currency, ZoneInfo(zone)
        self.step = STEP.get(currency, 1)
        self._coupons = sorted(coupons, key=lambda each: (each.coupon.stack, each.at))
        self._found, self._apart = found, apart
        self._billed_once: set[str] = set()
        self._used: list[tuple[object, object, int]] = []
        self._ended = False
        self._period: Billed | None = None
        self._percents: list[Redeemed] = []
        self._pieces: dict[Terms, list[_Piece]] = {}
        self._costs: dict[Terms, Callable[[int], int]] = {}

    def is_free(self, held: Held) -> bool:
        """Tell whether a period costs nothing by its plan."""
        return all(each.free for each in charges(held, self.currency))

    def pass_by(self) -> None:
        """Begin a period that isn't billed."""
        self._period, self._percents, self._pieces = None, [], {}

    def bill(
        self, held: Held, period: Billed, *, free: bool, usage: Sequence[UsageLine] = ()
    ) -> Invoice:
        """Begin a period, and return its invoice; one that is `free` has none that counts.

        Behind what is charged in advance it has the `usage` of before.
        """
        self.pass_by()
        self._period = period
        if free:
            return UNBILLED
        share = Fraction(period.part, period.whole)
        lines = []
        for charge in charges(held, self.currency):
            if charge.once:
                if charge.item not in self._billed_once:
                    lines.append(_once(charge))
                continue
            piece = _Piece(period.n, len(lines), 0, charge.quantity)
            self._pieces[charge.terms] = [piece] if charge.quantity else []
            self._costs[charge.terms] = charge.costs
            gross = self._rounded(charge.costs(charge.quantity), share)
            lines.append(Line(charge.item, gross, included=charge.included))
        self._billed_once |= {line.item for line in lines if line.once}
        lines += [Line(each.item, each.gross) for each in usage]
        holding = self._holding(period.n, period.start)
        self._percents = [each for each in holding if each.coupon.percent is not None]
        reduced = share != 1 or bool(usage)
        invoice = self._discounted(lines, holding, reduced=reduced, counts=period.n)
        return self._taxed(invoice, period.n)

    def of_usage(
        self, usage: Sequence[UsageLine], key: object, at: datetime, *, ended: bool
    ) -> Invoice:
        """Return an invoice that has nothing but usage; its coupons are those of an instant.

        After an end, what invoices used that were voided with it can be used again.
        """
        self._ended = ended
        lines = [Line(each.item, each.gross) for each in usage]
        invoice = self._discounted(lines, self._holding(key, at), reduced=True, counts=key)
        return self._taxed(invoice, key)

    def _rounded(self, amount: int, share: Fraction) -> int:
        return half_up(amount * share, self.step)

    # --- coupons --------------------------------------------------------------------------------

    def _holding(self, key: object, at: datetime) -> list[Redeemed]:
        return [each for each in self._coupons if self._holds(each, key, at)]

    def _holds(self, redeemed: Redeemed, key: object, at: datetime) -> bool:
        """Tell whether a coupon takes something off the invoice of a period that begins then."""
        coupon = redeemed.coupon
        if redeemed.shared and unit_counts(coupon):
            return self._found.used(redeemed.key, key)
        if is_close(redeemed.at, at, self._apart):
            if not self._found.used(redeemed.key, key):
                return False
        elif at < redeemed.at:
            return False
        count, unit = coupon.lasts
        if coupon.percent is None and self._amount(redeemed) <= 0:
            return False
        if unit == "months":
            local = redeemed.at.astimezone(self.zone).replace(tzinfo=None)
            ends = (local + relativedelta(months=count)).replace(tzinfo=self.zone)
            return at < ends.astimezone(UTC)
        return unit == "forever" or coupon.keeps_rest or len(self._uses(redeemed)) < count

    def _uses(self, redeemed: Redeemed) -> list[int]:
        """Return what a coupon took off before, by invoice."""
        return [
            amount
            for invoice, key, amount in self._used
            if key == redeemed.key and not (self._ended and self._found.void(invoice))
        ]

    def _amount(self, redeemed: Redeemed) -> int:
        coupon = redeemed.coupon
        taken = sum(self._uses(redeemed)) if coupon.keeps_rest else 0
        return coupon.amounts.get(self.currency, 0) - taken

    def _discounted(
        self, lines: Sequence[Line], coupons: Sequence[Redeemed], *, reduced: bool, counts: object
    ) -> Invoice:
        """Take coupons off; each is used once more by the invoice that `counts`, if one does."""
        for each in coupons:
            coupon = each.coupon
            weights = [line.gross - line.discount if _is_on(coupon, line) else 0 for line in lines]
            base = sum(weights)
            if coupon.percent is not None:
                amount = min(base, half_up(base * coupon.percent / 100, self.step))
            else:
                amount = min(base, self._amount(each))
            if not amount:
                continue
            if counts is not None:
                self._used.append((counts, each.key, amount))
            parts = split(amount, weights, self.step)
            lines = [
                replace(line, discount=line.discount + part)
                for line, part in zip(lines, parts, strict=True)
            ]
        return Invoice(tuple(lines), reduced or bool(coupons))

    def _taxed(self, invoice: Invoice, key: object) -> Invoice:
        """Return an invoice with its taxes; of several rates that may hold the one that is found.

        Clocks decide where a rate, or where the customer is, changes just then.
        """
        ways = [
            replace(invoice, lines=taxed(invoice.lines, percent, self.step))
            for percent in self._found.levied(key)
        ]
        fitting = (each for each in ways if each.total == self._found.total(key))
        return next(fitting, ways[0] if ways else invoice)

    # --- changes within a period ----------------------------------------------------------------

    def change(self, change: ItemChange, after: Held, held_before: Held) -> OfChange:
        """Return what a change at an instant of the period that began last comes to."""
        if self._period is None:
            return NOTHING
        share = self._share_left(change.at)
        pieces = self._standing(change, held_before)
        wanted = {each.terms: each for each in charges(after, self.currency)}
        lines: list[Line] = []
        returns: Counter[tuple[object, int]] = Counter()
        charged = [each for each in pieces if pieces[each]]
        for terms in [*charged, *(each for each in wanted if each not in charged)]:
            charge = wanted.get(terms)
            if charge is not None and charge.once:
                if charge.item not in self._billed_once:
                    lines.append(_once(charge))
                    self._billed_once.add(charge.item)
                continue
            self._one(change, terms, charge, pieces.get(terms, []), share, lines, returns)
        discounted = self._discounted(lines, self._percents, reduced=True, counts=None)
        discounted = self._taxed(discounted, ("change", change.key))
        return OfChange(discounted if lines else None, {k: v for k, v in returns.items() if v})

    def _share_left(self, at: datetime) -> Fraction:
        """Return the civil days that are left of the period, the day of the instant included."""
        period = self._period
        assert period is not None
        last = period.end.astimezone(self.zone).date()
        left = (last - at.astimezone(self.zone).date()).days
        whole = (last - period.start.astimezone(self.zone).date()).days
        if period.part != period.whole:
            return Fraction(min(left, period.part), period.whole)
        return Fraction(left, whole) if whole else Fraction(0)

    def _standing(self, change: ItemChange, before: Held) -> dict[Terms, list[_Piece]]:
        held = {each.terms: each.quantity for each in charges(before, self.currency)}
        found = {}
        for terms, pieces in self._pieces.items():
            most = held.get(terms, 0)
            found[terms] = [
                replace(each, last=min(each.last, most))
                for each in pieces
                if each.first < most and self._found.stands(each.invoice, change)
            ]
        return found

    def _one(
        self,
        change: ItemChange,
        terms: Terms,
        charge: Charge | None,
        have: list[_Piece],
        share: Fraction,
        lines: list[Line],
        returns: Counter[tuple[object, int]],
    ) -> None:
        """Return what went of an item at its terms, and charge what came."""
        costs = charge.costs if charge is not None else self._costs[terms]
        count = sum(each.last - each.first for each in have)
        want = 0 if charge is None else charge.quantity
        kept = min(count, want)
        if charge is not None and charge.volume and count != want:
            kept = 0

        def cost(units: int) -> int:
            return self._rounded(costs(units), share)

        if share:
            for piece in sorted(have, key=lambda each: -each.first):
                if piece.last > kept:
                    first = max(piece.first, kept)
                    amount = cost(piece.last) - (cost(first) if first else 0)
                    left = self._found.left(piece.invoice, piece.line, change)
                    returns[piece.invoice, piece.line] += (
                        amount if left is None else min(amount, left)
                    )
        here = [replace(each, last=min(each.last, kept)) for each in have if each.first < kept]
        if charge is not None and want > kept and share and not charge.free:
            here.append(_Piece(("change", change.key), len(lines), kept, want))
            gross = cost(want) - (cost(kept) if kept else 0)
            lines.append(Line(charge.item, gross, included=charge.included))
        self._pieces[terms], self._costs[terms] = here, costs


def unit_counts(coupon: Coupon) -> bool:
    """Tell whether it is how often a coupon was used that ends it."""
    return coupon.lasts[1] == "invoices"


def _once(charge: Charge) -> Line:
    return Line(charge.item, charge.costs(1), once=True, included=charge.included)


def _is_on(coupon: Coupon, line: Line) -> bool:
    return not line.once if coupon.on is None else line.item in coupon.on


# --- credit notes -------------------------------------------------------------------------------


def noted(line: Line, before: int, gross: int, currency: str) -> int:
    """Return what a note gives back for a part of a line, of which notes took so much before."""
    return _given(line, before + gross, currency) - _given(line, before, currency)


def _given(line: Line, gross: int, currency: str) -> int:
    step = STEP.get(currency, 1)
    if any(each % step for each in (line.gross, line.discount, line.tax)):
        step = 1
    net = gross - _part(line.discount, gross, line.gross, step)
    if line.included:
        return net
    return net + _part(line.tax, net, line.gross - line.discount, step)


def _part(amount: int, part: int, whole: int, step: int) -> int:
    return amount if part == whole else half_up(Fraction(amount * part, whole), step)


def share_of(line: Line, percent: int, currency: str) -> int:
    """Return a percentage of what a line comes to before its discount."""
    step = STEP.get(currency, 1)
    return half_up(Fraction(line.gross * percent, 100), 1 if line.gross % step else step)


def differing(found: Collection[Line], wanted: Collection[Line]) -> bool:
    """Tell whether lines have other items or amounts."""
    return list(map(_told, found)) != list(map(_told, wanted))


def _told(line: Line) -> tuple[object, ...]:
    return line.item, line.gross, line.discount, line.tax, line.included and line.tax > 0
