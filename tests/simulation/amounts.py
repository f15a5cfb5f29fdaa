"""Lines of invoices, and how amounts are rounded and split: parts of the model."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Line:
    """A line of an invoice, in minor units; its price may have the tax `included`."""

    item: str
    gross: int
    discount: int = 0
    once: bool = False
    tax: int = 0
    included: bool = False

    @property
    def total(self) -> int:
        return self.gross - self.discount + (0 if self.included else self.tax)


def half_up(part: Fraction, step: int) -> int:
    """Return a number of minor units, rounded to a step."""
    return int((part / step + Fraction(1, 2)) // 1) * step


def split(amount: int, weights: Sequence[int], step: int) -> list[int]:
    """Split an amount: what rounding down leaves goes to those that lost most, the first ones."""
    unit = step if all(each % step == 0 for each in (amount, *weights)) else 1
    exact = [Fraction(amount // unit * weight, sum(weights)) for weight in weights]
    parts = [int(each) for each in exact]
    order = sorted(range(len(parts)), key=lambda n: parts[n] - exact[n])
    for n in order[: amount // unit - sum(parts)]:
        parts[n] += 1
    return [part * unit for part in parts]
