"""The drafts of invoices and of credit notes: what follows from facts, as values."""

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from uuid import UUID

from billing.rules.periods import Period


class RowKind(StrEnum):
    """What a row of a price counts."""

    UNITS = "units"
    INCLUDED = "included"
    """Units that cost nothing."""
    PACKAGES = "packages"
    MAXIMUM = "maximum"
    """What the price is above the most that the item costs: below zero."""


@dataclass(frozen=True, slots=True)
class TierRow:
    """How much was charged at a price: `quantity` at `unit`, and `flat`; exact."""

    quantity: Fraction
    unit: Fraction
    flat: int
    amount: Fraction
    kind: RowKind = RowKind.UNITS


@dataclass(frozen=True, slots=True)
class PriceDetail:
    """What a quantity costs in a whole period, exact and unrounded.

    The rows add up to the amount. There are none where quantity and price say it all.
    """

    amount: Fraction
    rows: tuple[TierRow, ...]


@dataclass(frozen=True, slots=True)
class DraftLine:
    """One line, in minor units: `net` is `gross` less `discount`, and `tax` its part of the taxes.

    Where prices contain tax, `net` is without it. `charge` is the index of the charge in the facts;
    it and `period` are None for what was carried over. `rows` are of a whole period. `at_issue`:
    it is earned when it is invoiced, and not over its period.
    """

    item: str
    description: str
    period: Period | None
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
    at_issue: bool = False


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
    """The total of one tax over a group of lines; `base` is their net.

    `parts` are by line of the invoice; `lines` are the indexes of those that bear it.
    """

    name: str
    jurisdiction: str
    treatment: str
    rate: Fraction
    included: bool
    reason: str
    base: int
    amount: int
    parts: tuple[int, ...]
    lines: tuple[int, ...]


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

    def __post_init__(self) -> None:
        assert self.net == sum(line.net for line in self.lines)
        assert self.tax == sum(line.tax for line in self.lines)
        assert self.total == self.net + self.tax
        assert self.total == sum(each.amount for each in self.credit) + self.small + self.due
        assert min(self.net, self.tax, self.small, self.due) >= 0


@dataclass(frozen=True, slots=True)
class NoteLine:
    """What a credit note returns of the line at the index `line`, in minor units.

    `gross` is before the discount, as on the invoice; `taxes` are by tax of the invoice.
    """

    line: int
    gross: int
    discount: int
    net: int
    tax: int
    taxes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NoteTax:
    """What a credit note returns of the invoice's tax at an index: of which net, and how much."""

    tax: int
    base: int
    amount: int


@dataclass(frozen=True, slots=True)
class NoteDraft:
    """A credit note in minor units; `total` is `net` plus `tax`."""

    currency: str
    lines: tuple[NoteLine, ...]
    taxes: tuple[NoteTax, ...]
    discount: int
    net: int
    tax: int
    total: int
