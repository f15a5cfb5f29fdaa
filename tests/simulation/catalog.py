"""What is sold in a simulation: a few plans, as data, and as the files that the engine reads."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Final, Literal

Unit = Literal["day", "week", "month", "year"]


@dataclass(frozen=True)
class Price:
    """A dated price in minor units by currency; `moves` everybody or only new subscriptions."""

    effective: date
    amounts: Mapping[str, int]
    moves: bool = False


@dataclass(frozen=True)
class Product:
    """A plan."""

    code: str
    every: tuple[int, Unit]
    prices: Sequence[Price]
    trial_days: int = 0
    anchor_day: int | None = None
    ladder: Sequence[int] = (3, 5, 7)
    then: Literal["cancel", "unpaid"] = "cancel"
    catch_up: Literal["bill", "skip", "park"] = "bill"
    unit: Mapping[str, int] = field(default_factory=lambda: {"USD": 2, "JPY": 0, "KWD": 3})

    def with_price(self, price: Price) -> "Product":
        """Return the plan with one more price."""
        return replace(self, prices=[*self.prices, price])

    def with_last_price(self, price: Price) -> "Product":
        """Return the plan with another last price."""
        return replace(self, prices=[*self.prices[:-1], price])


FIRST_DAY: Final = date(2026, 1, 1)


def _at(**amounts: int) -> list[Price]:
    return [Price(FIRST_DAY, amounts)]


PRODUCTS: Final = {
    each.code: each
    for each in (
        Product("monthly", (1, "month"), _at(USD=2000, JPY=2400)),
        Product("weekly", (1, "week"), _at(USD=500, KWD=1250)),
        Product("daily", (1, "day"), _at(USD=100, JPY=120)),
        Product("fortnightly", (10, "day"), _at(USD=799)),
        Product("quarterly", (3, "month"), _at(USD=5500, JPY=6000)),
        Product("trial", (1, "month"), _at(USD=999, JPY=1200), trial_days=14),
        Product("strict", (1, "month"), _at(USD=1500), ladder=(2, 4), then="unpaid"),
        Product("first", (1, "month"), _at(USD=3100, JPY=3100), anchor_day=1),
        Product("last", (1, "month"), _at(USD=6200), anchor_day=31),
        Product("cheap", (1, "month"), _at(USD=310), anchor_day=15),
        Product("parked", (1, "week"), _at(USD=700), catch_up="park"),
        Product("skipped", (1, "week"), _at(USD=900), catch_up="skip"),
        Product("unpaid", (1, "week"), _at(USD=600, KWD=1600), then="unpaid"),
    )
}


def as_files(products: Mapping[str, Product]) -> str:
    """Return a catalog as the engine reads it."""
    return "\n".join(_lines(products))


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
            amounts = ", ".join(
                f'{currency} = "{_major(amount, each.unit[currency])}"'
                for currency, amount in price.amounts.items()
            )
            yield "  [[plan.version]]"
            yield f"  effective = {price.effective}"
            if price.effective != FIRST_DAY:
                yield f'  existing = "{"move" if price.moves else "keep"}"'
            yield f"  price = {{ {amounts} }}"


def _major(amount: int, digits: int) -> str:
    if not digits:
        return str(amount)
    return f"{amount // 10**digits}.{amount % 10**digits:0{digits}d}"
