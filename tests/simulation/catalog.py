"""What is sold in a simulation: a few plans, as data, and as the files that the engine reads."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from fractions import Fraction
from random import Random
from typing import Final, Literal

from tests.simulation.taxing import CLASS, RATES

Unit = Literal["day", "week", "month", "year"]
DIGITS: Final = {"USD": 2, "JPY": 0, "KWD": 3}


@dataclass(frozen=True)
class Price:
    """A dated price in minor units by currency; `moves` everybody or only new subscriptions."""

    effective: date
    amounts: Mapping[str, int]
    moves: bool = False


@dataclass(frozen=True)
class Item:
    """What a plan sells beside its `base`: by quantity in tiers, or once.

    A tier is a last unit (None: no end) with the price of each unit by currency. In `volume` the
    tier of the quantity prices every unit. What is charged `once` has one tier.
    """

    code: str
    tiers: Sequence[tuple[int | None, Mapping[str, int]]]
    volume: bool = False
    once: bool = False


@dataclass(frozen=True)
class Meter:
    """Which events count, by their name, and how: the property that is read, if one is."""

    event: str
    aggregate: Literal["count", "sum", "max", "unique"]
    reads: str = ""


@dataclass(frozen=True)
class MeteredItem:
    """What a plan sells by usage: tiers of exact prices in minor units, and bounds by currency.

    A tier is as that of an item; `late_days` are how long usage is accepted.
    """

    code: str
    meter: str
    tiers: Sequence[tuple[int | None, Mapping[str, Fraction]]]
    included: int = 0
    minimum: Mapping[str, int] = field(default_factory=dict)
    maximum: Mapping[str, int] = field(default_factory=dict)
    bills_trial: bool = False
    late_days: int = 35


@dataclass(frozen=True)
class Product:
    """A plan; one with items has a flat `base`, whose dated prices are those of the plan."""

    code: str
    every: tuple[int, Unit]
    prices: Sequence[Price]
    trial_days: int = 0
    anchor_day: int | None = None
    ladder: Sequence[int] = (3, 5, 7)
    then: Literal["cancel", "unpaid"] = "cancel"
    catch_up: Literal["bill", "skip", "park"] = "bill"
    items: Sequence[Item] = ()
    flat: bool = False  # the base takes no quantity; so it is where there are items
    unit: Mapping[str, int] = field(default_factory=lambda: DIGITS)
    metered: Sequence[MeteredItem] = ()
    included: bool = False  # prices contain taxes

    @property
    def seats(self) -> Item | None:
        """The item that a subscription has a quantity of."""
        return next((each for each in self.items if not each.once), None)

    @property
    def is_counted(self) -> bool:
        """Whether a subscription has a quantity of anything that it sells."""
        return self.seats is not None or not (self.flat or self.items)

    def with_price(self, price: Price) -> "Product":
        """Return the plan with one more price."""
        return replace(self, prices=[*self.prices, price])

    def with_last_price(self, price: Price) -> "Product":
        """Return the plan with another last price."""
        return replace(self, prices=[*self.prices[:-1], price])


@dataclass(frozen=True)
class Addon:
    """What can be held beside plans with periods of one length: by quantity, or once (`flat`)."""

    code: str
    every: tuple[int, Unit]
    amounts: Mapping[str, int]
    flat: bool = False


@dataclass(frozen=True)
class Coupon:
    """What takes something off invoices: a percentage, or an amount by currency in minor units.

    `lasts` is how many invoices or months it is used for; in `forever` it counts for nothing.
    """

    code: str
    percent: Fraction | None = None
    amounts: Mapping[str, int] = field(default_factory=dict)
    on: Collection[str] | None = None
    lasts: tuple[int, Literal["invoices", "months", "forever"]] = (1, "invoices")
    keeps_rest: bool = False
    stack: int = 0
    limit: int | None = None
    until: date | None = None


FIRST_DAY: Final = date(2026, 1, 1)
# Seats on both sides of where a tier ends.
SEATS: Final = (1, 5, 6, 20, 21, 45)
_GRADUATED: Final = Item(
    "seats",
    (
        (5, {"USD": 0, "JPY": 0}),
        (20, {"USD": 317, "JPY": 330}),
        (None, {"USD": 209, "JPY": 210}),
    ),
)
_VOLUME: Final = Item("seats", ((5, {"USD": 120}), (20, {"USD": 95}), (None, {"USD": 71})), True)
_SETUP: Final = Item("setup", ((None, {"USD": 777, "JPY": 800}),), once=True)


def _exactly(**amounts: str) -> Mapping[str, Fraction]:
    return {currency: Fraction(amount) for currency, amount in amounts.items()}


METERS: Final = {
    "calls": Meter("call", "count"),
    "users": Meter("call", "unique", "user"),
    "data": Meter("data", "sum", "n"),
    "peak": Meter("data", "max", "n"),
}
_CALLS: Final = MeteredItem(
    "calls",
    "calls",
    ((4, _exactly(USD="30", KWD="90")), (None, _exactly(USD="12.5", KWD="35.5"))),
    included=2,
    minimum={"USD": 110, "KWD": 330},
)
_MORE_CALLS: Final = MeteredItem(
    "calls",
    "calls",
    ((None, _exactly(USD="17", KWD="48")),),
    maximum={"USD": 150, "KWD": 420},
)
_DATA: Final = MeteredItem("data", "data", ((None, _exactly(USD="3.125", KWD="9")),), late_days=9)
_USERS: Final = MeteredItem("users", "users", ((None, _exactly(USD="40", KWD="120")),))
_PEAK: Final = MeteredItem("peak", "peak", ((None, _exactly(USD="5.5", KWD="17")),))


def _at(**amounts: int) -> list[Price]:
    return [Price(FIRST_DAY, amounts)]


PRODUCTS: Final = {
    each.code: each
    for each in (
        Product("monthly", (1, "month"), _at(USD=2000, JPY=2400)),
        Product("weekly", (1, "week"), _at(USD=500, KWD=1250)),
        Product("daily", (1, "day"), _at(USD=100, JPY=120)),
        Product("fortnightly", (10, "day"), _at(USD=799)),
        Product("quarterly", (3, "month"), _at(USD=5500, JPY=6000), included=True),
        Product("trial", (1, "month"), _at(USD=999, JPY=1200), trial_days=14),
        Product("strict", (1, "month"), _at(USD=1500), ladder=(2, 4), then="unpaid"),
        Product("first", (1, "month"), _at(USD=3100, JPY=3100), anchor_day=1),
        Product("last", (1, "month"), _at(USD=6200), anchor_day=31),
        Product("cheap", (1, "month"), _at(USD=310), anchor_day=15),
        Product("parked", (1, "week"), _at(USD=700), catch_up="park"),
        Product("skipped", (1, "week"), _at(USD=900), catch_up="skip"),
        Product("unpaid", (1, "week"), _at(USD=600, KWD=1600), then="unpaid"),
        Product("team", (1, "month"), _at(USD=1900, JPY=2000), items=(_GRADUATED, _SETUP)),
        Product("volume", (1, "week"), _at(USD=300), items=(_VOLUME,), included=True),
        Product(
            "stub",
            (1, "month"),
            _at(USD=1999),
            anchor_day=1,
            items=(_GRADUATED, _SETUP),
            included=True,
        ),
        Product("tried", (1, "month"), _at(USD=450), trial_days=10, items=(_SETUP,)),
        Product("free", (1, "month"), _at(USD=0, JPY=0), flat=True),
        Product(
            "usage", (1, "week"), _at(USD=300, KWD=1000), flat=True, metered=(_CALLS, _DATA, _USERS)
        ),
        Product(
            "usage-more",
            (1, "week"),
            _at(USD=900, KWD=2900),
            flat=True,
            metered=(_MORE_CALLS, _DATA, _PEAK),
        ),
        Product(
            "usage-tried",
            (1, "week"),
            _at(USD=400),
            trial_days=9,
            flat=True,
            metered=(replace(_CALLS, bills_trial=True), _DATA),
        ),
    )
}

ADDONS: Final = {
    each.code: each
    for each in (
        Addon("sso", (1, "month"), {"USD": 490, "JPY": 510}, flat=True),
        Addon("extra", (1, "week"), {"USD": 37, "KWD": 130}),
    )
}
COUPONS: Final = {
    each.code: each
    for each in (
        Coupon("spring", Fraction(15), lasts=(3, "invoices")),
        Coupon("half", Fraction(50), stack=3),
        Coupon("seats", Fraction(25, 2), on=("seats", "sso", "extra"), lasts=(2, "months")),
        Coupon("welcome", amounts={"USD": 301, "JPY": 300}, stack=1),
        Coupon("gift", amounts={"USD": 2603, "JPY": 2500}, keeps_rest=True, stack=2),
        Coupon("month", Fraction(10), lasts=(1, "months"), stack=4),
        Coupon("nothing", Fraction(100), limit=2),
        Coupon("rare", Fraction(7), lasts=(0, "forever"), limit=1),
        Coupon("early", Fraction(20), lasts=(0, "forever"), until=date(2026, 2, 5)),
    )
}


def coupon_for(chance: Random, product: Product, currency: str) -> str:
    """Return a coupon that takes something off what a plan sells."""
    sold = {each.code for each in product.items}
    fitting = [
        each.code
        for each in COUPONS.values()
        if (each.percent is not None or currency in each.amounts)
        and (each.on is None or any(item in each.on for item in sold))
        and each.until is None
        and each.limit is None
    ]
    return chance.choice(fitting)


def other_plans(held: Product, currency: str) -> list[Product]:
    """Return those that a subscription may be changed to, and is collected for in the same way."""
    return [
        other
        for other in PRODUCTS.values()
        if other is not held
        and currency in other.prices[0].amounts
        and other.every == held.every
        and other.anchor_day in (None, held.anchor_day)
        and (other.ladder, other.then, other.catch_up) == (held.ladder, held.then, held.catch_up)
    ]


def as_files(products: Mapping[str, Product]) -> str:
    """Return a catalog as the engine reads it."""
    sold = (*_lines(products), *_addons(products.values()), *_coupons())
    return "\n".join((*sold, *_meters(), *_tax_rates()))


def _lines(products: Mapping[str, Product]) -> Iterator[str]:
    yield 'product = "Simulated"'
    for each in products.values():
        count, unit = each.every
        yield "[[plan]]"
        yield f'code = "{each.code}"'
        yield f'every = "{count} {unit}{"s" if count > 1 else ""}"'
        if each.trial_days:
            yield f'trial = "{each.trial_days} days"'
        if each.anchor_day is not None:
            yield f"anchor_day = {each.anchor_day}"
        yield "retry_after = [" + ", ".join(f'"{days}d"' for days in each.ladder) + "]"
        yield f'then = "{each.then}"'
        yield f'catch_up = "{each.catch_up}"'
        for price in each.prices:
            yield from _version(each, price)


def _version(plan: Product, price: Price) -> Iterator[str]:
    amounts = _prices(price.amounts, plan.unit)
    yield "  [[plan.version]]"
    yield f"  effective = {price.effective}"
    if price.effective != FIRST_DAY:
        yield f'  existing = "{"move" if price.moves else "keep"}"'
    if plan.included:
        yield "  tax = { included = true }"
    if not (plan.items or plan.flat):
        yield f"  price = {amounts}"
        return
    yield "    [[plan.version.item]]"
    yield '    code = "base"'
    yield f"    price = {amounts}"
    for item in plan.items:
        yield from _item(item, price.amounts, plan.unit)
    for metered in plan.metered:
        yield from _metered(metered, price.amounts)


def _metered(item: MeteredItem, sold_in: Collection[str]) -> Iterator[str]:
    yield "    [[plan.version.item]]"
    yield f'    code = "{item.code}"'
    yield f'    meter = "{item.meter}"'
    yield '    tiers = "graduated"'
    tiers = ", ".join(
        f"{{ {'' if last is None else f'up_to = {last}, '}unit = {_exact_prices(price, sold_in)} }}"
        for last, price in item.tiers
    )
    yield f"    tier = [ {tiers} ]"
    if item.included:
        yield f"    included = {item.included}"
    for name, bound in (("minimum", item.minimum), ("maximum", item.maximum)):
        if bound:
            amounts = {currency: bound[currency] for currency in sold_in}
            yield f"    {name} = {_prices(amounts, DIGITS)}"
    if item.bills_trial:
        yield "    bills_trial = true"
    yield f'    late_for = "{item.late_days} days"'


def _exact_prices(amounts: Mapping[str, Fraction], sold_in: Collection[str]) -> str:
    found = (f'{each} = "{_digits(amounts[each] / 10 ** DIGITS[each])}"' for each in sold_in)
    return "{ " + ", ".join(found) + " }"


def _digits(amount: Fraction) -> str:
    whole, rest = divmod(amount * 10**9, 10**9)
    return f"{whole}.{int(rest):09d}"


def _tax_rates() -> Iterator[str]:
    for rate in RATES:
        yield "[[tax_rate]]"
        yield f'country = "{rate.country}"'
        yield f'class = "{CLASS}"'
        yield 'name = "VAT"'
        yield f'rate = "{_exact(rate.percent)}"'
        yield f"from = {rate.since}"


def _meters() -> Iterator[str]:
    for code, meter in METERS.items():
        yield "[[meter]]"
        yield f'code = "{code}"'
        yield f'event = "{meter.event}"'
        yield f'aggregate = "{meter.aggregate}"'
        if meter.reads:
            yield f'{"key" if meter.aggregate == "unique" else "value"} = "{meter.reads}"'


def _addons(products: Collection[Product]) -> Iterator[str]:
    for each in ADDONS.values():
        fits = ", ".join(f'"{plan.code}"' for plan in products if plan.every == each.every)
        yield "[[addon]]"
        yield f'code = "{each.code}"'
        yield f"fits = [{fits}]"
        yield "  [[addon.version]]"
        yield f"  effective = {FIRST_DAY}"
        yield f"  price = {_prices(each.amounts, DIGITS)}"
        if not each.flat:
            yield '  per = "unit"'


def _coupons() -> Iterator[str]:
    for each in COUPONS.values():
        yield "[[coupon]]"
        yield f'code = "{each.code}"'
        if each.percent is not None:
            yield f'percent = "{_exact(each.percent)}"'
        else:
            yield f"amount = {_prices(each.amounts, DIGITS)}"
        if each.on is not None:
            yield "on = [" + ", ".join(f'"{item}"' for item in each.on) + "]"
        yield f'for = "{_lasts(each)}"'
        yield f"stack = {each.stack}"
        if each.keeps_rest:
            yield 'rest = "kept"'
        if each.limit is not None:
            yield f"limit = {each.limit}"
        if each.until is not None:
            yield f"until = {each.until}"


def _exact(percent: Fraction) -> str:
    whole, rest = divmod(percent * 10, 10)
    return f"{whole}.{rest}"


def _lasts(coupon: Coupon) -> str:
    count, unit = coupon.lasts
    if unit == "forever":
        return unit
    return "once" if (count, unit) == (1, "invoices") else f"{count} {unit}"


def _item(item: Item, sold_in: Collection[str], digits: Mapping[str, int]) -> Iterator[str]:
    prices = [
        _prices({currency: amounts[currency] for currency in sold_in}, digits)
        for _, amounts in item.tiers
    ]
    yield "    [[plan.version.item]]"
    yield f'    code = "{item.code}"'
    if item.once:
        yield "    once = true"
        yield f"    price = {prices[0]}"
        return
    yield '    per = "seat"'
    yield "    quantity = { min = 1, max = 500, default = 3 }"
    yield f'    tiers = "{"volume" if item.volume else "graduated"}"'
    tiers = ", ".join(
        f"{{ {'' if last is None else f'up_to = {last}, '}unit = {price} }}"
        for (last, _), price in zip(item.tiers, prices, strict=True)
    )
    yield f"    tier = [ {tiers} ]"


def _prices(amounts: Mapping[str, int], digits: Mapping[str, int]) -> str:
    found = (f'{each} = "{_major(amount, digits[each])}"' for each, amount in amounts.items())
    return "{ " + ", ".join(found) + " }"


def _major(amount: int, digits: int) -> str:
    if not digits:
        return str(amount)
    return f"{amount // 10**digits}.{amount % 10**digits:0{digits}d}"
