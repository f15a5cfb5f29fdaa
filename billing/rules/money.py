"""Money: whole minor units of one currency. No floats, no mixing, no silent rounding.

Rounding happens in two ways only: half up (`half_up`, `prorate`) and by largest remainder,
so that the parts add up to the whole (`split`, `allocate`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from billing.plans.currencies import BIGINT_MAX, digits, format_amount, parse_amount

MAX_AMOUNT: Final = BIGINT_MAX


class CurrencyMismatch(TypeError):
    """Two amounts of different currencies were added or compared."""


class AmountOutOfRange(ValueError):
    """The amount doesn't fit a PostgreSQL bigint."""


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in minor units (cents, yen, fils) of an ISO 4217 currency."""

    amount: int
    currency: str

    def __post_init__(self) -> None:
        if type(self.amount) is not int:
            raise TypeError(f"an amount is an int of minor units, not {self.amount!r}")
        if not -MAX_AMOUNT <= self.amount <= MAX_AMOUNT:
            raise AmountOutOfRange(f"{self.amount} {self.currency} doesn't fit the ledger")
        digits(self.currency)

    def __add__(self, other: "Money") -> "Money":
        if not isinstance(other, Money):
            return NotImplemented
        return Money(self.amount + self._same_currency(other), self.currency)

    def __sub__(self, other: "Money") -> "Money":
        if not isinstance(other, Money):
            return NotImplemented
        return Money(self.amount - self._same_currency(other), self.currency)

    def __neg__(self) -> "Money":
        return Money(-self.amount, self.currency)

    def __abs__(self) -> "Money":
        return Money(abs(self.amount), self.currency)

    def __mul__(self, times: int) -> "Money":
        if type(times) is not int:
            return NotImplemented
        return Money(self.amount * times, self.currency)

    __rmul__ = __mul__

    def __lt__(self, other: "Money") -> bool:
        if not isinstance(other, Money):
            return NotImplemented
        return self.amount < self._same_currency(other)

    def __le__(self, other: "Money") -> bool:
        if not isinstance(other, Money):
            return NotImplemented
        return self.amount <= self._same_currency(other)

    def __gt__(self, other: "Money") -> bool:
        if not isinstance(other, Money):
            return NotImplemented
        return self.amount > self._same_currency(other)

    def __ge__(self, other: "Money") -> bool:
        if not isinstance(other, Money):
            return NotImplemented
        return self.amount >= self._same_currency(other)

    def __bool__(self) -> bool:
        raise TypeError("compare money with zero: `money.amount == 0`")

    def __str__(self) -> str:
        return format_money(self)

    def _same_currency(self, other: "Money") -> int:
        if other.currency != self.currency:
            raise CurrencyMismatch(f"{self} and {other} are different currencies")
        return other.amount


def parse_money(text: str, currency: str) -> Money:
    """Read an exact amount like "9.99". Raises: AmountError, CurrencyError (of plans)."""
    return Money(parse_amount(text, currency), currency)


def format_money(money: Money) -> str:
    """Write an amount the same way everywhere: "9.99 USD", "-1200 JPY"."""
    return f"{format_amount(money.amount, money.currency)} {money.currency}"


def prorate(money: Money, part: int, whole: int, step: int = 1) -> Money:
    """Return `part` of `whole` of an amount, rounded half up (away from zero) to a step.

    A credit is rounded as the charge it takes back, so the two cancel exactly. The step is
    `charge_step` of the currency where the result is to be charged.
    """
    if type(part) is not int or type(whole) is not int:
        raise TypeError("a share is two ints, part and whole")
    if not 0 <= part <= whole or whole == 0:
        raise ValueError(f"{part} of {whole} is no share")
    return Money(half_up(money.amount * part, whole, step), money.currency)


def half_up(numerator: int, denominator: int, step: int = 1) -> int:
    """Return a fraction of minor units rounded half up (away from zero) to a step."""
    unit = denominator * step
    rounded = (2 * abs(numerator) + unit) // (2 * unit) * step
    return -rounded if numerator < 0 else rounded


def allocate(money: Money, weights: Sequence[int]) -> list[Money]:
    """Split an amount by weights so that the parts add up to it exactly: see `split`."""
    return [Money(part, money.currency) for part in split(money.amount, weights)]


def split(amount: int, weights: Sequence[int], step: int = 1) -> list[int]:
    """Split minor units by weights so that the parts add up to them exactly.

    Largest remainder: what rounding down leaves over goes, one step each, to the parts that
    lost most; the earlier one wins a tie. Steps are single minor units where the amount or
    a weight isn't a multiple of `step`, so no part is more than its weight where the amount is no
    more than their sum.
    """
    if any(type(weight) is not int or weight < 0 for weight in weights):
        raise ValueError(f"weights are ints from 0 up, not {list(weights)}")
    total = sum(weights)
    if total == 0:
        raise ValueError("nothing to split by: the weights add up to zero")
    unit = step if not any(each % step for each in (amount, *weights)) else 1
    steps = abs(amount) // unit
    sign = -unit if amount < 0 else unit
    parts = [steps * weight // total for weight in weights]
    lost = [steps * weight % total for weight in weights]
    left = steps - sum(parts)
    for index in sorted(range(len(parts)), key=lambda i: -lost[i])[:left]:
        parts[index] += 1
    return [sign * part for part in parts]
