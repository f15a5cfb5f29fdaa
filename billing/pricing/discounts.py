"""Discounts: each redeemed coupon on what those before it left of its lines, split over them."""

from collections.abc import Iterable, Sequence
from operator import sub
from uuid import UUID

from billing.pricing.drafts import DraftDiscount
from billing.pricing.facts import Discount, FactsError
from billing.pricing.lines import PricedLine
from billing.rules.money import half_up, split


def discounts(
    lines: Sequence[PricedLine], redeemed: Iterable[Discount], step: int
) -> tuple[DraftDiscount, ...]:
    """Return what each redemption takes off, in the order given.

    The total of one is rounded once (half up, to `step`) or capped by what is left of its lines,
    and split over these by largest remainder. One that takes nothing off isn't used: it is left
    out. What was carried over is never discounted. Raises: FactsError, also for a redemption that
    is named twice.
    """
    left = [line.gross for line in lines]
    found, named = [], set[UUID]()
    for each in redeemed:
        if each.redemption in named:
            raise FactsError(f"{each.coupon} of redemption {each.redemption} is used twice")
        named.add(each.redemption)
        weights = [rest if _takes_off(each, lines[index]) else 0 for index, rest in enumerate(left)]
        base = sum(weights)
        amount = _amount(each, base, step)
        if amount == 0:
            continue
        parts = split(amount, weights, step)
        left = list(map(sub, left, parts))
        found.append(DraftDiscount(each.redemption, each.coupon, base, amount, tuple(parts)))
    return tuple(found)


def _takes_off(discount: Discount, line: PricedLine) -> bool:
    if line.charge is None:
        return False
    return not line.once if discount.on is None else line.item in discount.on


def _amount(discount: Discount, base: int, step: int) -> int:
    if discount.percent is not None and discount.amount is None:
        percent = discount.percent
        if not 0 <= percent <= 100:
            raise FactsError(f"{discount.coupon} takes off {percent} percent")
        return min(base, half_up(base * percent.numerator, percent.denominator * 100, step))
    if type(discount.amount) is not int or discount.percent is not None or discount.amount < 1:
        raise FactsError(f"{discount.coupon} takes off either a percentage or an amount")
    return min(base, discount.amount)
