"""The draft of an invoice: lines, discounts, taxes and credit that follow from its facts."""

from dataclasses import dataclass
from fractions import Fraction
from uuid import UUID

from billing.rules.periods import Period


@dataclass(frozen=True, slots=True)
class TierRow:
    """How many units were charged at a price: `quantity` at `unit`, and `flat`; exact."""

    quantity: Fraction
    unit: Fraction
    flat: int
    amount: Fraction


@dataclass(frozen=True, slots=True)
class PriceDetail:
    """What a quantity costs in a whole period, exact and unrounded, with its rows."""

    amount: Fraction
    rows: tuple[TierRow, ...]


@dataclass(frozen=True, slots=True)
class DraftLine:
    """One line, in minor units: `net` is `gross` less `discount`, and `tax` its part of the taxes.

    Where prices contain tax, `net` is without it. `charge` is the index of the charge in the facts.
    """

    item: str
    description: str
    period: Period
    part: int
    whole: int
    quantity: Fraction
    unit_price: Fraction | None
    gross: int
    discount: int
    net: int
    tax: int
    charge: int | None
    rows: tuple[TierRow, ...] = ()


@dataclass(frozen=True, slots=True)
class DraftDiscount:
    """What one redemption took off, of which base; `parts` by line."""

    redemption: UUID
    coupon: str
    base: int
    amount: int
    parts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DraftTax:
    """The total of one tax over a group of lines; `parts` by line."""

    name: str
    jurisdiction: str
    treatment: str
    rate: Fraction
    included: bool
    reason: str
    base: int
    amount: int
    parts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class AppliedCredit:
    """What one grant pays of an invoice, in minor units."""

    grant: UUID
    amount: int


@dataclass(frozen=True, slots=True)
class InvoiceDraft:
    """An invoice as it follows from facts, in minor units.

    `total` is `net` plus `tax`. Credit pays part of it; `small` is what is waived because no
    provider takes so little; `due` is what is left to be paid.
    """

    currency: str
    lines: tuple[DraftLine, ...]
    discounts: tuple[DraftDiscount, ...]
    taxes: tuple[DraftTax, ...]
    credit: tuple[AppliedCredit, ...]
    net: int
    discount: int
    tax: int
    total: int
    small: int
    due: int
