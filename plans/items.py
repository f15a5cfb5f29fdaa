"""What a plan version sells: items, each with a price. Frozen values, exact, no rounding.

An item is *flat* (one price a period), *licensed* (a quantity of units is held), *metered* (usage
is counted) or *once* (charged one time). A price is in minor units of its currency; the price of a
unit is exact, so it is a fraction of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from fractions import Fraction
from types import MappingProxyType
from typing import Final, Literal

from billing.plans.meters import Meter
from billing.plans.taxes import TaxTerms

Tiering = Literal["graduated", "volume"]
PackageRounding = Literal["up", "down"]

BASE: Final = "base"
"""The code of the item that a plan with a single price sells."""
MOST_UNITS: Final = 1_000_000
"""The largest quantity of a licensed item."""


class ItemKind(StrEnum):
    """What decides how much of an item is charged."""

    FLAT = "flat"
    LICENSED = "licensed"
    METERED = "metered"
    ONCE = "once"


class PriceModel(StrEnum):
    """How a quantity becomes an amount."""

    FLAT = "flat"
    """One amount, whatever the quantity."""
    UNIT = "unit"
    """The quantity times the price of a unit."""
    GRADUATED = "graduated"
    """Each unit at the price of the tier that it falls in."""
    VOLUME = "volume"
    """All units at the price of the tier that the quantity falls in."""
    PACKAGE = "package"
    """Whole packages of units."""


@dataclass(frozen=True, slots=True)
class QuantityRange:
    """How many units of a licensed item may be held, and how many are if nobody says; inclusive."""

    minimum: int = 1
    maximum: int = MOST_UNITS
    default: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.minimum <= self.default <= self.maximum <= MOST_UNITS:
            raise ValueError(f"no range of quantities: {self}")

    def __contains__(self, quantity: int) -> bool:
        return self.minimum <= quantity <= self.maximum


@dataclass(frozen=True, slots=True)
class Tier:
    """One tier: prices by currency. `up_to` is included; None in the last tier, which has no end.

    `flat` is added once when the tier is reached.
    """

    up_to: int | None
    unit: Mapping[str, Fraction] = field(hash=False)
    flat: Mapping[str, int] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        _freeze(self, "unit", "flat")


@dataclass(frozen=True, slots=True)
class Package:
    """Units that are sold `size` at a time; `round` says what becomes of a package begun."""

    size: int
    price: Mapping[str, int] = field(hash=False)
    round: PackageRounding = "up"

    def __post_init__(self) -> None:
        _freeze(self, "price")


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a plan version or of an add-on, with prices by currency in minor units.

    `price` is that of a flat or once-item for a period, `unit` that of one unit of a licensed or
    metered one without tiers and packages. `included` units cost nothing. `minimum` and `maximum`
    bound what the item costs in a period, before discounts.
    """

    code: str
    name: str | None = None
    per: str | None = None
    """What a unit of a licensed item is called."""
    meter: Meter | None = None
    once: bool = False
    quantity: QuantityRange | None = None
    price: Mapping[str, int] = field(default_factory=dict, hash=False)
    unit: Mapping[str, Fraction] = field(default_factory=dict, hash=False)
    tiering: Tiering | None = None
    tiers: tuple[Tier, ...] = ()
    package: Package | None = None
    included: Fraction = Fraction(0)
    minimum: Mapping[str, int] = field(default_factory=dict, hash=False)
    maximum: Mapping[str, int] = field(default_factory=dict, hash=False)
    late_for: timedelta | None = None
    """How long after its instant the usage of a metered item is accepted: whole days."""
    bills_trial: bool = False
    """What was used in a trial is billed after it."""
    alert: int | None = None
    """At which percentage of its included units a metered item is noted; at all of them, too."""
    tax: TaxTerms | None = None
    """How it is taxed, where that isn't as its version says."""

    def __post_init__(self) -> None:
        _freeze(self, "price", "unit", "minimum", "maximum")
        if (self.meter is None) != (self.late_for is None):
            raise ValueError(f"{self.code}: usage, and nothing else, is accepted late")
        if self.alert is not None and not (self.meter and self.included):
            raise ValueError(f"{self.code}: an alert is a part of included usage")

    @property
    def kind(self) -> ItemKind:
        """What decides how much is charged."""
        if self.meter is not None:
            return ItemKind.METERED
        if self.once:
            return ItemKind.ONCE
        return ItemKind.FLAT if self.quantity is None else ItemKind.LICENSED

    @property
    def model(self) -> PriceModel:
        """How its quantity becomes an amount."""
        if self.tiering is not None:
            return PriceModel(self.tiering)
        if self.package is not None:
            return PriceModel.PACKAGE
        return PriceModel.UNIT if self.unit else PriceModel.FLAT

    @property
    def currencies(self) -> frozenset[str]:
        """The currencies that it is sold in."""
        if self.package is not None:
            return frozenset(self.package.price)
        if self.tiers:
            return frozenset(self.tiers[0].unit)
        return frozenset(self.unit or self.price)

    def price_in(self, currency: str) -> "ItemPrice | None":
        """Return the price in one currency, None where it isn't sold in it."""
        if currency not in self.currencies:
            return None
        amount = self.unit.get(currency) if self.unit else Fraction(self.price.get(currency, 0))
        size = price = None
        if self.package is not None:
            size, price = self.package.size, self.package.price[currency]
        return ItemPrice(
            model=self.model,
            amount=Fraction(price) if price is not None else amount or Fraction(0),
            tiers=tuple(
                PriceTier(tier.up_to, tier.unit[currency], tier.flat.get(currency, 0))
                for tier in self.tiers
            ),
            size=size,
            round=self.package.round if self.package is not None else "up",
            included=self.included,
            minimum=self.minimum.get(currency),
            maximum=self.maximum.get(currency),
        )


@dataclass(frozen=True, slots=True)
class PriceTier:
    """One tier in one currency; `up_to` is included."""

    up_to: int | None
    unit: Fraction
    flat: int = 0


@dataclass(frozen=True, slots=True)
class ItemPrice:
    """The price of an item in one currency, in minor units.

    `amount` is the price of all (flat), of a unit or of a package of `size` units.
    """

    model: PriceModel
    amount: Fraction = Fraction(0)
    tiers: tuple[PriceTier, ...] = ()
    size: int | None = None
    round: PackageRounding = "up"
    included: Fraction = Fraction(0)
    minimum: int | None = None
    maximum: int | None = None

    def __post_init__(self) -> None:
        self._check_amounts()
        if self.model is PriceModel.PACKAGE and (self.size or 0) < 1:
            raise ValueError(f"a package has at least one unit, not {self.size}")
        if self.round not in ("up", "down"):
            raise ValueError(f"a package is rounded up or down, not {self.round!r}")
        _check_tiers(self.tiers)

    def _check_amounts(self) -> None:
        amounts = (self.amount, self.included, self.minimum or 0, self.maximum or 0)
        for each in amounts:
            if not isinstance(each, int | Fraction) or each < 0:
                raise ValueError(f"a price has exact amounts from zero up, not {each}")
        if self.maximum is not None and (self.minimum or 0) > self.maximum:
            raise ValueError(f"the minimum {self.minimum} is above the maximum {self.maximum}")

    def __hash__(self) -> int:
        """Hash what tells most prices apart: fractions are slow to hash, and tiers have many."""
        unit = self.tiers[-1].unit if self.tiers else self.amount
        bounds = (self.size, self.minimum, self.maximum, len(self.tiers))
        return hash((self.model, unit.numerator, unit.denominator, bounds))

    @property
    def is_free(self) -> bool:
        """Tell whether no quantity of it costs anything."""
        tiers = any(tier.unit or tier.flat for tier in self.tiers)
        return not self.amount and not tiers and not self.minimum


def _check_tiers(tiers: Sequence[PriceTier]) -> None:
    """Raise ValueError for tiers that don't rise from zero, or whose prices are below it."""
    below = 0
    for place, tier in enumerate(tiers, start=1):
        if tier.unit < 0 or tier.flat < 0:
            raise ValueError(f"tier {place} has a price below zero")
        if tier.up_to is None and place < len(tiers):
            raise ValueError(f"tier {place} has no end, and others follow")
        if tier.up_to is not None and tier.up_to <= below:
            raise ValueError(f"tier {place} ends at {tier.up_to}, where it begins or before")
        below = tier.up_to or below


def _freeze(value: object, *names: str) -> None:
    for name in names:
        object.__setattr__(value, name, MappingProxyType(dict(getattr(value, name))))
