"""The terms of a coupon: frozen values. How often it may be used is counted elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from types import MappingProxyType
from typing import Final, Literal

CouponDuration = Literal["once", "invoices", "months", "forever"]
CouponRest = Literal["lost", "kept"]

_COUNTED: Final = ("invoices", "months")


@dataclass(frozen=True, slots=True)
class Coupon:
    """What a coupon takes off: `percent` of what is left of the lines, or an amount.

    `amounts` are minor units by currency. `on` are item codes; None: all but once-items. It lasts
    for one invoice ("once"), for `number` invoices, for `number` calendar months from when it was
    redeemed, or "forever". It can be redeemed on days up to `until`, which is included, and
    `limit` times. Of several coupons the one of the lowest `stack` is used first. `rest` says what
    becomes of an amount for one invoice that was larger than it.
    """

    code: str
    percent: Fraction | None = None
    amounts: Mapping[str, int] = field(default_factory=dict, hash=False)
    on: tuple[str, ...] | None = None
    duration: CouponDuration = "once"
    number: int = 1
    until: date | None = None
    limit: int | None = None
    stack: int = 0
    rest: CouponRest = "lost"

    def __post_init__(self) -> None:
        object.__setattr__(self, "amounts", MappingProxyType(dict(self.amounts)))
        if (self.percent is None) == (not self.amounts):
            raise ValueError(f"{self.code} takes off either a percentage or an amount")
        if self.percent is not None and not 0 < self.percent <= 100:
            raise ValueError(f"{self.code} takes off more than 0 % and at most 100 %")
        if any(amount < 1 for amount in self.amounts.values()):
            raise ValueError(f"{self.code} takes off an amount from 1 minor unit up")
        if self.number < 1 or (self.number != 1 and self.duration not in _COUNTED):
            raise ValueError(f"{self.code} lasts {self.duration}, which is not {self.number} times")
        if self.rest == "kept" and not (self.amounts and self.duration == "once"):
            raise ValueError(f"{self.code}: only of an amount for one invoice a rest can be kept")
