"""Which of the coupons that were redeemed take something off an invoice, how much, in which order.

A coupon is used on every invoice until it was used on as many as its terms say, or its months are
over.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from billing.plans.coupons import Coupon
from billing.plans.terms import Cadence
from billing.pricing.facts import Discount
from billing.rules.money import half_up
from billing.rules.periods import later


@dataclass(frozen=True, slots=True)
class Redeemed:
    """A coupon that was redeemed, and its use so far.

    `invoices` are those that it took something off, `taken` is how much, in minor units of their
    currency; voided ones don't count.
    """

    redemption: UUID
    coupon: Coupon
    at: datetime
    invoices: int = 0
    taken: int = 0


def discounts_at(
    redeemed: Iterable[Redeemed],
    at: datetime,
    currency: str,
    zone: str,
    *,
    share: tuple[int, int] = (1, 1),
    step: int = 1,
) -> tuple[Discount, ...]:
    """Return the discounts that hold for an invoice at an instant, in order of use.

    By `stack`, then the earlier redemption, then its id. Where the invoice is for a change, an
    amount has the share of the period that is left.
    """
    ordered = sorted(redeemed, key=lambda each: (each.coupon.stack, each.at, each.redemption))
    found = (discount_at(each, at, currency, zone, share=share, step=step) for each in ordered)
    return tuple(each for each in found if each is not None)


def discount_at(
    redeemed: Redeemed,
    at: datetime,
    currency: str,
    zone: str,
    *,
    share: tuple[int, int] = (1, 1),
    step: int = 1,
) -> Discount | None:
    """Return what a redeemed coupon takes off an invoice at an instant, None where nothing.

    Months are calendar months of `zone` from the redemption, and their end is no part of them. An
    invoice that falls into them has the whole discount, however long its period. Of an amount
    whose rest is kept, what is left of it is taken off.
    """
    coupon = redeemed.coupon
    if at < redeemed.at or not _lasts(redeemed, at, zone):
        return None
    if coupon.percent is not None:
        return Discount(redeemed.redemption, coupon.code, percent=coupon.percent, on=coupon.on)
    amount = half_up(coupon.amounts.get(currency, 0) * share[0], share[1], step)
    if coupon.rest == "kept":
        amount -= redeemed.taken
    if amount <= 0:
        return None
    return Discount(redeemed.redemption, coupon.code, amount=amount, on=coupon.on)


def _lasts(redeemed: Redeemed, at: datetime, zone: str) -> bool:
    coupon = redeemed.coupon
    match coupon.duration:
        case "once":
            return redeemed.invoices == 0 or coupon.rest == "kept"
        case "invoices":
            return redeemed.invoices < coupon.number
        case "months":
            return at < later(redeemed.at, Cadence(coupon.number, "month"), zone)
        case "forever":
            return True
